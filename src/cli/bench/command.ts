/** `paceline bench`: measures, compares, reports. */
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { PacelineError } from '../../base/errors.js';
import { cacheFolder } from '../../base/paths.js';
import type { Model } from '../../engine/model.js';
import { resolveModelPath } from '../../engine/model-path.js';
import type { DraftKind } from '../../engine/types.js';
import { verifyPrompts } from '../../engine/verify/prompts.js';
import type { BenchFlags } from '../commands/bench.js';
import { decodeUtf8 } from '../input.js';
import { catchInterrupt } from '../interrupt.js';
import { note, print, printJson } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { bytes, count, rate, table } from '../table.js';
import { type DraftRun, measureDrafts } from './drafts.js';
import { measureBatches, measureRun, type RunTimes } from './measure.js';
import { installPeer, PeerProcess, peerVersion } from './peer.js';
import { median, type Spread, spread } from './statistics.js';

/** One measurement. Rates are tokens per second, passes milliseconds. */
export interface BenchRow extends Spread {
  readonly engine: 'paceline' | 'node-llama-cpp';
  readonly measure: 'prefill' | 'decode' | 'pass' | 'text';
  /** Of `text`: the drafter, and what it proposed over all runs. */
  readonly draft?: DraftKind;
  readonly drafted?: number;
  readonly accepted?: number;
  /** Of `text`: tokens for each pass, and the time of the prefills in milliseconds. */
  readonly tokens_per_step?: number;
  readonly prefill_ms?: number;
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
  readonly peer?: { readonly name: string; readonly version: string };
  readonly rows: readonly BenchRow[];
  readonly ratios: Readonly<Record<string, number>>;
}

interface Job {
  readonly path: string;
  readonly flags: BenchFlags;
  readonly signal: AbortSignal;
  readonly bar: ProgressBar;
}

/** Room for prompts and texts of --draft, in tokens. */
const textContext = 4096;

/** Runs the command. */
export async function benchCommand(model: string | undefined, flags: BenchFlags): Promise<void> {
  if (flags.shape !== undefined && model !== undefined) {
    throw new PacelineError('usage', 'Give a model or --shape, not both', {
      hint: '--shape makes a model of its own.',
    });
  }
  if (flags.profile === true) {
    throw new PacelineError('usage', '--profile is not supported by this version', {
      hint: 'Leave it out.',
    });
  }
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  try {
    const path = await modelFor(model, flags, bar, interrupt.signal);
    const report = await measureAll({ path, flags, signal: interrupt.signal, bar });
    bar.clear();
    if (flags.json === true) await printJson(report);
    else await printReport(report);
  } finally {
    bar.clear();
    interrupt.release();
  }
}

async function modelFor(
  model: string | undefined,
  flags: BenchFlags,
  bar: ProgressBar,
  signal: AbortSignal,
): Promise<string> {
  const { shape, type } = flags;
  if (shape === undefined) {
    return resolveModelPath(model ?? 'default');
  }
  const { cachedRandomModel } = await import('./random-model.js');
  return cachedRandomModel(cacheFolder(), shape, type, { onProgress: bar.onProgress, signal });
}

/** Token ids without meaning, the same every time: what they are does not matter for speed. */
function promptOf(length: number, vocabulary: number): number[] {
  return Array.from(
    { length },
    (_, index) => (index * 7919 + 104729) % Math.min(vocabulary, 50000),
  );
}

async function measureAll(job: Job): Promise<BenchReport> {
  const { path, flags, signal, bar } = job;
  const { loadModel } = await import('../../engine/load.js');
  const largest = Math.max(0, ...(flags.batch ?? []));
  // Texts of --draft are as long as they are; their cache grows with them.
  const least = flags.draft === undefined ? 1 : textContext;
  const context = Math.max(least, flags.prompt + Math.max(flags.gen + 1, largest) + 1);
  await using model = await loadModel(path, {
    contextLength: context,
    ...(flags.threads === undefined ? {} : { threads: flags.threads }),
    onProgress: bar.onProgress,
    signal,
  });
  const { info } = model;
  const prompt = promptOf(flags.prompt, info.vocabularySize);
  const entry = flags.vs === undefined ? undefined : await installPeer(cacheFolder(), signal);
  const started =
    entry === undefined
      ? undefined
      : PeerProcess.start({ entry, model: path, threads: info.threads, context });
  await using peer = await started;
  const { ours, theirs } = await takeTurns(job, model, peer, prompt);
  const rows: BenchRow[] = [
    ...speedRows('paceline', flags.prompt - 1, ours),
    ...(theirs.length > 0 ? speedRows('node-llama-cpp', flags.prompt - 1, theirs) : []),
  ];
  const passes = await passRows(job, model, prompt);
  const texts = await textRowsOf(job, model);
  return {
    model: {
      path: info.path,
      name: info.name,
      architecture: info.architecture,
      parameters: info.parameters,
      file_bytes: statSync(path).size,
      load_ms: info.loadMs,
    },
    machine: {
      cpu: cpus()[0]?.model,
      platform: `${process.platform}-${process.arch}`,
      node: process.versions.node,
    },
    threads: info.threads,
    kernels: info.kernels,
    ...(peer === undefined ? {} : { peer: { name: 'node-llama-cpp', version: peerVersion } }),
    rows: [...rows, ...passes, ...texts],
    ratios: ratiosOf([...rows, ...passes, ...texts]),
  };
}

/** Ours, theirs, ours, theirs, after a round that warms both up and is not counted. */
async function takeTurns(
  { flags, signal, bar }: Job,
  model: Model,
  peer: PeerProcess | undefined,
  prompt: readonly number[],
): Promise<{ ours: RunTimes[]; theirs: RunTimes[] }> {
  const ours: RunTimes[] = [];
  const theirs: RunTimes[] = [];
  for (let round = 0; round <= flags.runs; round++) {
    bar.onProgress({ task: 'measuring', done: round, total: flags.runs + 1, unit: 'steps' });
    const own = await measureRun(model, prompt, flags.gen, signal);
    if (round > 0) ours.push(own);
    if (peer === undefined) continue;
    signal.throwIfAborted();
    const other = await peer.run(prompt, flags.gen);
    if (round > 0) theirs.push(other);
  }
  return { ours, theirs };
}

function speedRows(
  engine: BenchRow['engine'],
  prefillTokens: number,
  runs: readonly RunTimes[],
): BenchRow[] {
  const row = (measure: 'prefill' | 'decode', tokens: number, rates: number[]): BenchRow => ({
    engine,
    measure,
    tokens,
    unit: 'tokens/s',
    ...spread(rates),
    runs: rates,
  });
  const rows: BenchRow[] = [];
  if (prefillTokens > 0) {
    const rates = runs.map((run) => (prefillTokens / run.prefillMs) * 1000);
    rows.push(row('prefill', prefillTokens, rates));
  }
  const decode = runs.map((run) => (run.tokens / run.decodeMs) * 1000);
  return [...rows, row('decode', runs[0]?.tokens ?? 0, decode)];
}

async function passRows({ flags, signal }: Job, model: Model, prompt: readonly number[]) {
  if (flags.batch === undefined) return [];
  const batches = [...new Set([1, ...flags.batch])];
  const rounds = Math.max(3, flags.runs);
  const times = await measureBatches(model, prompt, batches, rounds, signal);
  return batches.map((batch, index): BenchRow => {
    const runs = times[index] ?? [];
    return {
      engine: 'paceline',
      measure: 'pass',
      tokens: batch,
      unit: 'ms',
      ...spread(runs),
      runs,
    };
  });
}

/** With --draft: real text with each of the drafters. */
async function textRowsOf({ flags, signal, bar }: Job, model: Model): Promise<BenchRow[]> {
  if (flags.draft === undefined) return [];
  const kinds = [...new Set<DraftKind>(['none', ...flags.draft])];
  const prompts =
    flags.text === undefined ? verifyPrompts : [decodeUtf8(await readFile(flags.text), flags.text)];
  const runs = await measureDrafts(model, {
    kinds,
    prompts,
    generate: flags.gen,
    rounds: flags.runs,
    signal,
    onRound: (round) =>
      bar.onProgress({ task: 'drafting', done: round, total: flags.runs + 1, unit: 'steps' }),
  });
  return [...runs].map(([kind, list]): BenchRow => {
    const total = (value: (run: DraftRun) => number): number =>
      list.reduce((sum, run) => sum + value(run), 0);
    const rates = list.map((run) => (run.tokens / run.decodeMs) * 1000);
    return {
      engine: 'paceline',
      measure: 'text',
      tokens: list[0]?.tokens ?? 0,
      unit: 'tokens/s',
      ...spread(rates),
      runs: rates,
      draft: kind,
      drafted: total((run) => run.drafted),
      accepted: total((run) => run.accepted),
      tokens_per_step:
        total((run) => run.tokens) /
        Math.max(
          1,
          total((run) => run.steps),
        ),
      prefill_ms: median(list.map((run) => run.prefillMs)),
    };
  });
}

/**
 * `decode` and `prefill`: our median rate divided by the peer's. `batchN`: time of a pass over N
 * tokens divided by that over one. `draft_KIND`: the median rate of text with that drafter divided
 * by that without; `draft_KIND_prefill`: the times of the prefills, likewise.
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
  const plain = rows.find((row) => row.draft === 'none');
  for (const row of rows) {
    if (plain === undefined || row.draft === undefined || row.draft === 'none') continue;
    ratios[`draft_${row.draft}`] = row.median / plain.median;
    if (row.prefill_ms === undefined || plain.prefill_ms === undefined) continue;
    ratios[`draft_${row.draft}_prefill`] = row.prefill_ms / plain.prefill_ms;
  }
  return ratios;
}

async function printReport(report: BenchReport): Promise<void> {
  const { model, rows, ratios } = report;
  const size = bytes(Number(model.file_bytes));
  note(
    `${model.name ?? model.path}: ${count(Number(model.parameters))} parameters, ${size}\n` +
      `${report.kernels}, ${report.threads} threads, ${report.machine.cpu}\n`,
  );
  const cells = rows.map((row) => [
    row.engine,
    measureName(row),
    rate(row.median),
    rate(row.min),
    rate(row.max),
    row.unit,
  ]);
  await print(table(cells, ['engine', 'measure', 'median', 'min', 'max', 'unit']));
  const lines = Object.entries(ratios).map(([name, ratio]) => `${ratioText(name, ratio)}\n`);
  if (lines.length > 0) await print(`\n${lines.join('')}`);
}

function measureName(row: BenchRow): string {
  if (row.measure === 'pass') return `pass over ${row.tokens}`;
  if (row.draft === undefined) return `${row.measure} ${row.tokens}`;
  const accepted = row.drafted ? `, ${row.accepted} of ${row.drafted} drafts` : '';
  return `text ${row.tokens}, draft ${row.draft}${accepted}`;
}

function ratioText(name: string, ratio: number): string {
  const times = ratio.toFixed(2);
  if (name.startsWith('batch')) {
    return `a pass over ${name.slice(5)} tokens costs ${times} times one over 1`;
  }
  const [, kind, prefill] = /^draft_([a-z]+)(_prefill)?$/.exec(name) ?? [];
  if (prefill !== undefined) return `prefill with draft ${kind}: ${times} times the time`;
  if (kind !== undefined) return `draft ${kind}: ${times} times as fast as without`;
  return `${name}: ${times} times as fast as node-llama-cpp ${peerVersion}`;
}
