/** `paceline devices`: what can compute here. */
import type { Command } from 'commander';
import { addExamples } from '../help.js';

interface DevicesFlags {
  readonly json?: boolean;
}

/** Declares the command. */
export function defineDevices(program: Command): void {
  const command = program
    .command('devices')
    .summary('what can compute on this machine')
    .description(
      'Lists the devices that the installed libraries can use, the native kernels, and what else ' +
        'could be installed (CUDA and Vulkan are separate packages).',
    )
    .option('--json', 'one JSON object on stdout')
    .action(async (flags: DevicesFlags) => {
      const { devicesCommand } = await import('../devices-report.js');
      await devicesCommand(flags.json === true);
    });
  addExamples(
    command,
    ['devices', 'what computes here, and with which kernels'],
    ['devices --json', 'the same for scripts'],
  );
}
