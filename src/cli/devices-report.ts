/** What `paceline devices` prints. */
import { type DeviceReport, listDevices } from '../engine/devices.js';
import { bold, note, print, printJson, snakeKeys } from './output.js';
import { bytes, printable, table } from './table.js';

/** Runs the command. */
export async function devicesCommand(json: boolean): Promise<void> {
  const report = await listDevices();
  if (json) await printJson(snakeKeys(report));
  else await printReport(report);
  for (const problem of report.problems) note(`warning: ${problem}`);
  if (!report.native.available) {
    note(`warning: native kernels are not used: ${report.native.reason}`);
  }
}

async function printReport(report: DeviceReport): Promise<void> {
  const { native, threads, memory, devices } = report;
  await print(
    table([
      ['platform', report.platform],
      ['memory', `${bytes(memory.available)} of ${bytes(memory.total)} available`],
      ['threads', `${threads.default} unless told otherwise, at most ${threads.most}`],
      ['ggml', report.ggmlVersion],
      [
        'native kernels',
        native.available
          ? `${native.path} (this machine can run ${native.paths.join(', ')})`
          : `none: ${native.reason}`,
      ],
    ]),
  );
  const rows = devices.map((device) => [
    device.name,
    device.kind,
    printable(device.description.trim()),
    device.memoryTotal > 0 ? bytes(device.memoryTotal) : '',
    device.variant,
    device.package,
  ]);
  await print(`\n${bold('Devices')}\n`);
  await print(table(rows, ['name', 'kind', 'what', 'memory', 'build', 'package']));
  for (const device of devices) {
    if (device.features.length > 0) await print(`\n${device.name}: ${device.features.join(' ')}\n`);
  }
  if (devices.every((device) => device.kind === 'cpu')) {
    await print(
      '\nNo library for a graphics card is installed: docs/devices.md says how, and what it weighs.\n',
    );
  }
}
