/** `paceline bench`: measures, compares, reports. */
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { PacelineError } from '../../base/errors.js';
import { cacheFolder } from '../../base/paths.js';
import type { Model } from '../../engine/model.js';
import { companionsOf, resolveModelPath } from '../../engine/model-path.js';
import type { DraftKind } from '../../engine/types.js';
import { ReadMeter } from '../../ggml/bandwidth.js';
import type { BenchFlags } from '../commands/bench.js';
import { decodeUtf8 } from '../input.js';
import { catchInterrupt } from '../interrupt.js';
import { printJson } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { bandwidthReport } from './bandwidth.js';
import { measureDrafts, type PeerRunner } from './drafts.js';
import { measureBatches, measureRun, type RunTimes } from './measure.js';
import type { PaddedModel } from './padded-model.js';
import { installPeer, PeerProcess, peerVersion } from './peer.js';
import { type ProfileReport, profilePass } from './profile.js';
import { type BenchReport, type BenchRow, printReport, ratiosOf } from './report.js';
import { spread } from './statistics.js';
import { type BenchText, benchTexts, noise } from './texts.js';

interface Job {
  readonly path: string;
  /** What the peer loads: the same file, or the same weights in a form that it reads. */
  readonly peerPath: string;
  readonly padded?: PaddedModel;
  /** Drafters that lie beside the model; a padded one has those of its source. */
  readonly draftModels: readonly string[];
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
  const bar = new ProgressBar();
  const interrupt = catchInterrupt();
  try {
    const files = await modelFor(model, flags, bar, interrupt.signal);
    const report = await measureAll({ ...files, flags, signal: interrupt.signal, bar });
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
): Promise<Pick<Job, 'path' | 'peerPath' | 'padded' | 'draftModels'>> {
  const { shape, type, pad, vs } = flags;
  const options = { onProgress: bar.onProgress, signal };
  if (shape !== undefined) {
    if (pad !== undefined) {
      throw new PacelineError('usage', 'Give --pad or --shape, not both', {
        hint: '--pad is for a model that says something, --shape for one that does not.',
      });
    }
    const { cachedRandomModel } = await import('./random-model.js');
    const path = await cachedRandomModel(cacheFolder(), shape, type, options);
    return { path, peerPath: path, draftModels: [] };
  }
  const path = resolveModelPath(model ?? 'default');
  // Only texts with drafters need them.
  const draftModels = flags.draft === undefined ? [] : (flags.draftModel ?? companionsOf(path));
  if (pad === undefined) return { path, peerPath: path, draftModels };
  const { paddedModel, paddedForPeer } = await import('./padded-model.js');
  const padded = await paddedModel(cacheFolder(), path, pad, options);
  const peerPath =
    vs === undefined ? padded.path : await paddedForPeer(cacheFolder(), path, pad, options);
  return { path: padded.path, peerPath, padded, draftModels };
}

async function measureAll(job: Job): Promise<BenchReport> {
  const { path, flags, signal, bar, padded } = job;
  const { loadModel } = await import('../../engine/load.js');
  const largest = Math.max(0, ...(flags.batch ?? []));
  // Texts of --draft are as long as they are; their cache grows with them.
  const least = flags.draft === undefined ? 1 : textContext;
  const context = Math.max(least, flags.prompt + Math.max(flags.gen + 1, largest) + 1);
  await using model = await loadModel(path, {
    contextLength: context,
    draftModels: job.draftModels,
    ...(flags.threads === undefined ? {} : { threads: flags.threads }),
    ...(flags.kv === undefined ? {} : { kvType: flags.kv }),
    onProgress: bar.onProgress,
    signal,
  });
  const { info } = model;
  const prompt = noise(flags.prompt, info.vocabularySize);
  const entry = flags.vs === undefined ? undefined : await installPeer(cacheFolder(), signal);
  const started =
    entry === undefined
      ? undefined
      : PeerProcess.start({ entry, model: job.peerPath, threads: info.threads, context });
  await using peer = await started;
  const { ours, theirs, reads } = await takeTurns(job, model, peer, prompt);
  const rows: BenchRow[] = [
    ...speedRows('paceline', flags.prompt - 1, ours),
    ...(theirs.length > 0 ? speedRows('node-llama-cpp', flags.prompt - 1, theirs) : []),
  ];
  const bandwidth = await bandwidthReport(path, model, flags.prompt, ours, reads);
  const passes = await passRows(job, model, prompt);
  const texts = await textRowsOf(job, model, peer);
  const profile = flags.profile === true ? await profiles(job, model, prompt) : undefined;
  return {
    model: {
      path: info.path,
      name: info.name,
      architecture: info.architecture,
      parameters: info.parameters,
      file_bytes: statSync(path).size,
      load_ms: info.loadMs,
      ...(padded === undefined ? {} : { padding: padded.padding, padding_check: padded.check }),
    },
    machine: {
      cpu: cpus()[0]?.model,
      platform: `${process.platform}-${process.arch}`,
      node: process.versions.node,
    },
    threads: info.threads,
    kernels: info.kernels,
    kv_type: info.kvType,
    ...(peer === undefined ? {} : { peer: { name: 'node-llama-cpp', version: peerVersion } }),
    rows: [...rows, ...passes, ...texts],
    bandwidth,
    ...(profile === undefined ? {} : { profile }),
    ratios: ratiosOf([...rows, ...passes, ...texts]),
  };
}

/** Ours, a plain read of memory, theirs, after a round that warms all up and is not counted. */
async function takeTurns(
  { flags, signal, bar }: Job,
  model: Model,
  peer: PeerProcess | undefined,
  prompt: readonly number[],
): Promise<{ ours: RunTimes[]; theirs: RunTimes[]; reads: number[] }> {
  using meter = await ReadMeter.open(model.info.threads);
  const ours: RunTimes[] = [];
  const theirs: RunTimes[] = [];
  const reads: number[] = [];
  for (let round = 0; round <= flags.runs; round++) {
    bar.onProgress({ task: 'measuring', done: round, total: flags.runs + 1, unit: 'steps' });
    const own = await measureRun(model, prompt, flags.gen, signal);
    const read = await meter?.measure();
    if (round > 0) ours.push(own);
    if (round > 0 && read !== undefined) reads.push(read);
    if (peer === undefined) continue;
    signal.throwIfAborted();
    const other = await peer.run(prompt, flags.gen);
    if (round > 0) theirs.push(other);
  }
  return { ours, theirs, reads };
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

/** With --draft: text with each of the drafters. */
async function textRowsOf(
  { flags, signal, bar }: Job,
  model: Model,
  peer: PeerProcess | undefined,
): Promise<BenchRow[]> {
  if (flags.draft === undefined) return [];
  return measureDrafts(model, {
    kinds: [...new Set<DraftKind>(['none', ...flags.draft])],
    texts: await textsFor(flags, model),
    generate: flags.gen,
    rounds: flags.runs,
    temperature: flags.temp,
    peer: peer === undefined ? undefined : peerRunner(peer),
    signal,
    onRound: (done, total) => bar.onProgress({ task: 'drafting', done, total, unit: 'steps' }),
  });
}

async function textsFor(flags: BenchFlags, { tokenizer }: Model): Promise<BenchText[]> {
  if (flags.text === undefined) {
    return benchTexts(flags.texts, tokenizer, { length: flags.prompt, generate: flags.gen });
  }
  const text = decodeUtf8(await readFile(flags.text), flags.text);
  return [{ name: 'text', prompts: [{ tokens: tokenizer.encode(text) }] }];
}

/** Most tokens of the peer's lookup of its input: its default, and about as many as ours. */
const lookups: Readonly<Record<string, number>> = { lookup: 0, 'lookup-16': 16 };

function peerRunner(peer: PeerProcess): PeerRunner {
  return {
    kinds: ['none', ...Object.keys(lookups)],
    async run(kind, prompt, generate, temperature, seed) {
      const lookup = lookups[kind];
      const options = { temperature, seed, ...(lookup === undefined ? {} : { lookup }) };
      const answer = await peer.run(prompt.tokens, generate, {
        ...options,
        written: prompt.written,
      });
      // It does not say how many passes it ran; every guess that was accepted saved one.
      return { ...answer, steps: answer.tokens - answer.accepted };
    },
  };
}

/** With --profile: a decode step, a verification of drafts, and a prefill chunk. */
async function profiles(
  { flags, signal }: Job,
  model: Model,
  prompt: readonly number[],
): Promise<ProfileReport[]> {
  const { prefillChunk } = model.runtime;
  const rounds = Math.max(3, flags.runs);
  const past = prompt.slice(0, -1);
  return [
    await profilePass(model, past, prompt.slice(-1), rounds, signal),
    await profilePass(model, past, prompt.slice(0, Math.min(8, prompt.length)), rounds, signal),
    await profilePass(model, [], prompt.slice(0, prefillChunk), rounds, signal),
  ];
}
