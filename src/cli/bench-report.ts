/** How a person reads the report of a benchmark: tables on stdout, remarks on stderr. */
import type { BandwidthReport } from '../bench/bandwidth.js';
import { peerVersion } from '../bench/peer.js';
import type { ProfileReport } from '../bench/profile.js';
import type { BenchReport, BenchRow } from '../bench/report.js';
import { note, print } from './output.js';
import { bytes, count, rate, table } from './table.js';

/** Prints a report as tables. */
export async function printBenchReport(report: BenchReport): Promise<void> {
  const { model, rows, ratios, bandwidth } = report;
  const size = bytes(Number(model.file_bytes));
  note(
    `${model.name ?? model.path}: ${count(Number(model.parameters))} parameters, ${size}\n` +
      `${report.kernels}, ${report.kv_type} cache, ${report.threads} threads, ${report.machine.cpu}\n`,
  );
  const cells = rows.map((row) => [
    row.engine,
    measureName(row),
    rate(row.median),
    rate(row.min),
    rate(row.max),
    row.unit,
    row.tokens_per_step === undefined ? '' : row.tokens_per_step.toFixed(2),
    row.acceptance == null ? '' : `${(100 * row.acceptance).toFixed(0)}%`,
  ]);
  const heads = ['engine', 'measure', 'median', 'min', 'max', 'unit', 'tokens/pass', 'accepted'];
  const columns = rows.some(({ measure }) => measure === 'text') ? heads.length : 6;
  await print(
    table(
      cells.map((row) => row.slice(0, columns)),
      heads.slice(0, columns),
    ),
  );
  for (const row of rows.filter(({ left_after }) => left_after !== undefined)) {
    note(
      `${row.engine} left the written text ${row.text} after ${row.left_after} tokens (draft ` +
        `${row.draft}): its times are those of another text, and are compared with nothing`,
    );
  }
  const lines = Object.entries(ratios).map(([name, ratio]) => `${ratioText(name, ratio)}\n`);
  await print(`\n${lines.join('')}${bandwidthText(bandwidth)}\n`);
  for (const reason of report.disturbance.reasons) note(`disturbed: ${reason}`);
  if (report.disturbance.disturbed) note('Repeat this when the machine is quiet.');
  for (const profile of report.profile ?? []) await printProfile(profile);
}

function measureName(row: BenchRow): string {
  if (row.measure === 'pass') return `pass over ${row.tokens}`;
  if (row.measure === 'text') {
    const left = row.left_after === undefined ? '' : `, left it after ${row.left_after}`;
    return `${row.text} ${row.tokens}, draft ${row.draft}${left}`;
  }
  return `${row.measure} ${row.tokens}`;
}

function ratioText(name: string, ratio: number): string {
  const times = ratio.toFixed(2);
  if (name.startsWith('batch')) {
    return `a pass over ${name.slice(5)} tokens costs ${times} times one over 1`;
  }
  const [, text, kind, what] = /^([a-z-]+)_([a-z]+)(_prefill|_peer)?$/.exec(name) ?? [];
  if (kind === undefined) {
    return `${name}: ${times} times as fast as node-llama-cpp ${peerVersion}`;
  }
  const label = `${text} with draft ${kind}`;
  if (what === '_prefill') return `${label}: prefill takes ${times} times the time`;
  if (what === '_peer') return `${label}: ${times} times as fast as node-llama-cpp's best`;
  return `${label}: ${times} times as fast as without`;
}

async function printProfile(profile: ProfileReport): Promise<void> {
  const share = (ms: number): string => `${((100 * ms) / profile.sum_ms).toFixed(1)}%`;
  const line = (name: string, by: string, calls: string, ms: number): string[] => [
    name,
    by,
    calls,
    ms.toFixed(3),
    share(ms),
  ];
  const kinds = profile.operations.map(({ operation, by, count: calls, ms }) =>
    line(operation, by, String(calls), ms),
  );
  const layers = profile.layers.map(({ layer, ms }) => line(layer, '', '', ms));
  await print(
    `\nPass over ${profile.tokens} tokens: ${profile.pass_ms.toFixed(2)} ms; its operations alone, ` +
      `one after another, ${profile.sum_ms.toFixed(2)} ms\n\n`,
  );
  await print(table([...kinds, ...layers], ['operation or layer', 'by', 'count', 'ms', 'share']));
}

function bandwidthText(found: BandwidthReport): string {
  const read = `decode reads weights at ${found.decode_gb_s.toFixed(1)} GB/s`;
  if (found.memory_gb_s === null || found.share === null || found.share_with_cache === null) {
    return read;
  }
  const percent = (share: number) => `${(100 * share).toFixed(0)}%`;
  // Nothing is read faster than memory gives: what was measured of memory was disturbed.
  if (found.share > 1) {
    return `${read}; memory could not be measured beside it (${found.memory_gb_s.toFixed(1)} GB/s)`;
  }
  return (
    `${read}, ${percent(found.share)} of what memory gives (${found.memory_gb_s.toFixed(1)} GB/s); ` +
    `with the KV cache ${percent(found.share_with_cache)}`
  );
}
