/** The report of a benchmark: its rows, and the ratios that follow from them. Prints nothing. */
import type { BandwidthReport } from './bandwidth.js';
import type { Disturbance } from './disturbance.js';
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
  readonly disturbance: Disturbance;
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
