/** The report of a benchmark: its rows, what follows from them, and how a person reads it. */
import { note, print } from '../output.js';
import { bytes, count, rate, table } from '../table.js';
import { type BandwidthReport, bandwidthText } from './bandwidth.js';
import { peerVersion } from './peer.js';
import type { ProfileReport } from './profile.js';
import { median, type Spread } from './statistics.js';

/** One measurement. Rates are tokens per second, passes milliseconds. */
export interface BenchRow extends Spread {
  readonly engine: 'paceline' | 'node-llama-cpp';
  readonly measure: 'prefill' | 'decode' | 'pass' | 'text';
  /** Of `text`: which, with which drafter (the peer has `lookup`), and what it proposed in all. */
  readonly text?: string;
  readonly draft?: string;
  readonly drafted?: number;
  readonly accepted?: number;
  /** Accepted of drafted; null where nothing was drafted. */
  readonly acceptance?: number | null;
  /** Of `text`: tokens for each pass, and the time of the prefills in milliseconds. */
  readonly tokens_per_step?: number;
  readonly prefill_ms?: number;
  readonly prefill_runs?: readonly number[];
  /** Of the runs of four generated tokens, those not generated before: low where a text loops. */
  readonly distinct?: number;
  /**
   * Of a written text: the engine said something else after so many of its tokens, in one of the
   * runs at least. Its times then are those of another text, and give no ratios.
   */
  readonly left_after?: number;
  /** Tokens of the prompt, tokens generated, or tokens of one pass. */
  readonly tokens: number;
  readonly unit: 'tokens/s' | 'ms';
  readonly runs: readonly number[];
}

export interface BenchReport {
  readonly model: Record<string, unknown>;
  readonly machine: Record<string, unknown>;
  readonly threads: number;
  readonly kernels: string;
  /** Element type of our KV cache; the peer has its own default. */
  readonly kv_type: string;
  readonly peer?: { readonly name: string; readonly version: string };
  readonly rows: readonly BenchRow[];
  readonly bandwidth: BandwidthReport;
  readonly profile?: readonly ProfileReport[];
  readonly ratios: Readonly<Record<string, number>>;
}

/** Median of the quotients of two lists, measured in turns. */
function paired(a: readonly number[] = [], b: readonly number[] = []): number {
  return median(a.map((value, index) => value / (b[index] ?? Number.NaN)));
}

/**
 * `decode` and `prefill`: our median rate divided by the peer's. `batchN`: time of a pass over N
 * tokens divided by that over one. `TEXT_DRAFT`: the rate of a text with that drafter divided by that
 * without, the median over rounds; `TEXT_DRAFT_prefill`: the times of the prefills, likewise;
 * `TEXT_DRAFT_peer`: our median rate divided by the best of the peer's kinds; left out where one of
 * these did not say what was written, since it might have been the best.
 */
export function ratiosOf(rows: readonly BenchRow[]): Record<string, number> {
  const ratios: Record<string, number> = {};
  const find = (engine: BenchRow['engine'], measure: BenchRow['measure'], tokens?: number) =>
    rows.find(
      (row) =>
        row.engine === engine &&
        row.measure === measure &&
        (tokens === undefined || row.tokens === tokens),
    );
  for (const measure of ['decode', 'prefill'] as const) {
    const own = find('paceline', measure);
    const other = find('node-llama-cpp', measure);
    if (own === undefined || other === undefined) continue;
    ratios[measure] = own.median / other.median;
  }
  const one = find('paceline', 'pass', 1);
  for (const row of rows) {
    if (row.measure !== 'pass' || row.tokens === 1 || one === undefined) continue;
    ratios[`batch${row.tokens}`] = row.median / one.median;
  }
  const texts = rows.filter(({ measure }) => measure === 'text');
  for (const row of texts.filter(({ engine }) => engine === 'paceline')) {
    const name = `${row.text}_${row.draft}`;
    const same = texts.filter(({ text }) => text === row.text);
    const plain = same.find(({ engine, draft }) => engine === 'paceline' && draft === 'none');
    if (plain !== undefined && plain !== row) {
      ratios[name] = paired(row.runs, plain.runs);
      ratios[`${name}_prefill`] = paired(row.prefill_runs, plain.prefill_runs);
    }
    const peers = same.filter(({ engine }) => engine === 'node-llama-cpp');
    if (peers.length > 0 && peers.every((peer) => peer.left_after === undefined)) {
      ratios[`${name}_peer`] = row.median / Math.max(...peers.map((peer) => peer.median));
    }
  }
  return ratios;
}

/** Prints a report as tables. */
export async function printReport(report: BenchReport): Promise<void> {
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
  const line = (name: string, calls: string, ms: number): string[] => [
    name,
    calls,
    ms.toFixed(3),
    share(ms),
  ];
  const kinds = profile.operations.map(({ operation, count: calls, ms }) =>
    line(operation, String(calls), ms),
  );
  const layers = profile.layers.map(({ layer, ms }) => line(layer, '', ms));
  await print(
    `\nPass over ${profile.tokens} tokens: ${profile.pass_ms.toFixed(2)} ms; its operations alone, ` +
      `one after another, ${profile.sum_ms.toFixed(2)} ms\n\n`,
  );
  await print(table([...kinds, ...layers], ['operation or layer', 'count', 'ms', 'share']));
}
