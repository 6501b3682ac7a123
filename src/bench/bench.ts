/**
 * One benchmark from end to end: makes or pads the model, measures ours and the peer in turns, and
 * gathers a report. Knows nothing of flags and prints nothing; what it has to tell goes to callbacks.
 */
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { PacelineError, throwIfAborted } from '../base/errors.js';
import { removeStaleParts } from '../base/files.js';
import type { OnProgress } from '../base/progress.js';
import { loadModel } from '../engine/load.js';
import type { Model } from '../engine/model.js';
import { companionsOf, resolveModelPath } from '../engine/model-path.js';
import type { DraftKind, KvType, LoadOptions } from '../engine/types.js';
import { ReadMeter } from '../ggml/bandwidth.js';
import { readGguf } from '../gguf/reader.js';
import { cachedShapeModel } from '../synthetic/shape-model.js';
import { createTokenizer } from '../tokenizer/tokenizer.js';
import { bandwidthReport } from './bandwidth.js';
import { judgeDisturbance, type Stretch, watchStretch } from './disturbance.js';
import { measureDrafts, type PeerRunner } from './drafts.js';
import { measureBatches, measureRun, type RunTimes } from './measure.js';
import { type PaddedModel, paddedForPeer, paddedModel } from './padded-model.js';
import { installPeer, type PeerDevice, PeerProcess, peerVersion } from './peer.js';
import { type ProfileReport, profilePass } from './profile.js';
import { type BenchReport, type BenchRow, ratiosOf } from './report.js';
import { spread } from './statistics.js';
import { type BenchText, benchTexts, noise, type TextKind } from './texts.js';

/** What text with drafters is measured on. */
export interface DraftBench {
  /** `none` is always measured too, as what the others are compared with. */
  readonly kinds: readonly DraftKind[];
  /** GGUF files of drafters; default: those that lie beside the model. */
  readonly models?: readonly string[] | undefined;
  /** Path of a UTF-8 text to continue, or the built-in kinds. */
  readonly texts: readonly TextKind[] | { readonly file: string };
  readonly temperature: number;
}

export interface BenchOptions {
  /** A path or `default`, or a shape to make a model of, with the type of its weights. */
  readonly model: string | { readonly shape: string; readonly type: string };
  /** Shape to whose cost the model is padded with blocks of zeros. */
  readonly pad?: string | undefined;
  /** Length of the prompt and tokens to generate. */
  readonly prompt: number;
  readonly generate: number;
  /** Numbers of tokens whose passes are timed. */
  readonly batches?: readonly number[] | undefined;
  readonly drafts?: DraftBench | undefined;
  /** How often each is measured, after a round that is not counted. */
  readonly rounds: number;
  /** Whether node-llama-cpp runs beside. */
  readonly peer: boolean;
  readonly threads?: number | undefined;
  readonly kvType?: KvType | undefined;
  /** What computes; default: as `loadModel` chooses. */
  readonly device?:
    | Pick<LoadOptions, 'device' | 'gpuLayers' | 'cpuMoe' | 'expertMemory' | 'exact' | 'experts'>
    | undefined;
  /** Whether passes are taken apart by operation; on the CPU only. */
  readonly profile: boolean;
  /** Where made models and the peer are kept. */
  readonly cacheFolder: string;
  /** One line about work that takes long and has no bar. */
  readonly onNote: (text: string) => void;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

interface Files {
  readonly path: string;
  /** What the peer loads: the same file, or the same weights in a form that it reads. */
  readonly peerPath: string;
  readonly padded?: PaddedModel;
  readonly draftModels: readonly string[];
}

/** What was measured, and what ended the measuring early. */
export interface BenchOutcome {
  readonly report: BenchReport;
  /** Thrown by a later part; what was measured before it stands. */
  readonly failure?: unknown;
}

/** Rows and runs, as far as they have come. */
interface Measured {
  /** Of the machine, before. */
  readonly loadAverage: number;
  readonly ours: RunTimes[];
  readonly theirs: RunTimes[];
  /** Reads of memory between them, in GB/s. */
  readonly reads: number[];
  readonly stretches: Stretch[];
  readonly passes: BenchRow[];
  readonly texts: BenchRow[];
  readonly profile: ProfileReport[];
}

/**
 * Measures what is asked for. What can be known to fail is refused before anything is measured.
 * @throws {PacelineError} `usage` for unknown shapes, types, combinations and drafters;
 *   `check-failed` when padding changes a text; `network` without a peer; what loading throws. Once
 *   there is a measurement nothing is thrown: the outcome has the failure.
 */
export async function runBench(options: BenchOptions): Promise<BenchOutcome> {
  const { prompt: length, signal, onProgress } = options;
  const [loadAverage = 0] = loadavg();
  for (const folder of ['shapes', 'padded']) {
    await removeStaleParts(join(options.cacheFolder, folder));
  }
  const files = await filesFor(options);
  const texts = await textsFor(options, files.path);
  const context = contextFor(options, texts);
  await using model = await loadModel(files.path, {
    contextLength: context,
    draftModels: files.draftModels,
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...(options.kvType === undefined ? {} : { kvType: options.kvType }),
    // Operations are timed one by one, which a scheduler of several devices does not offer.
    ...(options.profile ? { ...options.device, device: 'cpu' } : options.device),
    onProgress,
    signal,
  });
  const { threads, vocabularySize } = model.info;
  const kinds = draftKindsFor(options, model);
  const prompt = noise(length, vocabularySize);
  const device = peerDevice(model);
  const started = options.peer
    ? await PeerProcess.start({
        entry: await installPeer(options.cacheFolder, { ...options, device }),
        model: files.peerPath,
        ...{ threads, context, device },
      })
    : undefined;
  await using peer = started;
  const measured: Measured = {
    loadAverage,
    ours: [],
    theirs: [],
    reads: [],
    stretches: [],
    passes: [],
    texts: [],
    profile: [],
  };
  let failure: { readonly error: unknown } | undefined;
  try {
    await takeTurns(options, model, peer, prompt, measured);
    await measurePasses(options, model, prompt, measured);
    for await (const rows of textRows(options, model, peer, kinds, texts)) {
      measured.texts.push(...rows);
    }
    if (options.profile) measured.profile.push(...(await profiles(options, model, prompt)));
  } catch (error) {
    if (measured.ours.length === 0) throw error;
    failure = { error };
  }
  const report = await reportOf(options, files, model, peer !== undefined, measured);
  return failure === undefined ? { report } : { report, failure: failure.error };
}

/** The peer computes with the library that we do: of the card that the model is on, or the CPU's. */
function peerDevice({ runtime }: Model): PeerDevice {
  const variant = runtime.backend.accelerators[0]?.variant;
  return variant === 'cuda' || variant === 'vulkan' || variant === 'metal' ? variant : undefined;
}

async function reportOf(
  { prompt, profile }: BenchOptions,
  { path, padded }: Files,
  model: Model,
  withPeer: boolean,
  measured: Measured,
): Promise<BenchReport> {
  const { info } = model;
  const { ours, theirs, reads } = measured;
  const rows: BenchRow[] = [
    ...speedRows('paceline', prompt - 1, ours),
    ...(theirs.length > 0 ? speedRows('node-llama-cpp', prompt - 1, theirs) : []),
    ...measured.passes,
    ...measured.texts,
  ];
  const bandwidth = await bandwidthReport(path, model, prompt, ours, reads);
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
    ...(withPeer ? { peer: { name: 'node-llama-cpp', version: peerVersion } } : {}),
    rows,
    bandwidth,
    disturbance: judgeDisturbance({
      stretches: measured.stretches,
      rates: ours.map((run) => run.tokens / run.decodeMs),
      threads: info.threads,
      memoryShare: bandwidth.share,
      loadAverage: measured.loadAverage,
    }),
    ...(profile ? { profile: measured.profile } : {}),
    ratios: ratiosOf(rows),
  };
}

/** The context that everything fits into, in tokens. */
function contextFor({ prompt, generate, batches }: BenchOptions, texts: readonly BenchText[]) {
  const largest = Math.max(generate + 1, ...(batches ?? []));
  const longest = texts.flatMap(({ prompts }) => prompts.map(({ tokens }) => tokens.length));
  // Drafts are checked beyond the last token that is wanted.
  return Math.max(prompt + largest + 1, ...longest.map((tokens) => tokens + generate + 65));
}

/** @throws {PacelineError} `usage` for drafters that the model does not have. */
function draftKindsFor({ drafts }: BenchOptions, { runtime }: Model): DraftKind[] {
  if (drafts === undefined) return [];
  const known = ['auto', 'none', ...runtime.drafterSources.map(({ name }) => name)];
  const missing = drafts.kinds.filter((kind) => !known.includes(kind));
  if (missing.length > 0) {
    throw new PacelineError('usage', `The model has no drafter ${missing.join(', ')}`, {
      hint: `There are: ${known.join(', ')}. Draft models are files that have to be given with it.`,
      details: { missing, known },
    });
  }
  return [...new Set<DraftKind>(['none', ...drafts.kinds])];
}

async function filesFor({ model, pad, drafts, peer, ...options }: BenchOptions): Promise<Files> {
  const { cacheFolder } = options;
  if (typeof model !== 'string') {
    if (pad !== undefined) {
      throw new PacelineError('usage', 'A model of a shape cannot be padded to another', {
        hint: 'Padding is for a model that says something, a shape for one that does not.',
      });
    }
    const path = await cachedShapeModel(cacheFolder, model.shape, model.type, options);
    return { path, peerPath: path, draftModels: [] };
  }
  const path = resolveModelPath(model);
  // Only texts with drafters need them.
  const draftModels = drafts === undefined ? [] : (drafts.models ?? companionsOf(path));
  if (pad === undefined) return { path, peerPath: path, draftModels };
  const padded = await paddedModel(cacheFolder, path, pad, options);
  const peerPath = peer ? await paddedForPeer(cacheFolder, path, pad, options) : padded.path;
  return { path: padded.path, peerPath, padded, draftModels };
}

/** Ours, a plain read of memory, theirs, after a round that warms all up and is not counted. */
async function takeTurns(
  { rounds, generate, signal, onProgress }: BenchOptions,
  model: Model,
  peer: PeerProcess | undefined,
  prompt: readonly number[],
  { ours, theirs, reads, stretches }: Measured,
): Promise<void> {
  using meter = await ReadMeter.open(model.info.threads);
  const keep = (stretch: Stretch | undefined): void => {
    if (stretch !== undefined) stretches.push(stretch);
  };
  for (let round = 0; round <= rounds; round++) {
    onProgress({ task: 'measuring', done: round, total: rounds + 1, unit: 'steps' });
    const stretch = watchStretch();
    const own = await measureRun(model, prompt, generate, signal);
    if (round > 0) {
      keep(stretch());
      ours.push(own);
    }
    const read = await meter?.measure();
    if (round > 0 && read !== undefined) reads.push(read);
    if (peer === undefined) continue;
    throwIfAborted(signal);
    const beside = watchStretch(peer.pid);
    const other = await peer.run(prompt, generate);
    if (round > 0) {
      keep(beside());
      theirs.push(other);
    }
  }
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

async function measurePasses(
  { batches: wanted, rounds, signal }: BenchOptions,
  model: Model,
  prompt: readonly number[],
  { passes }: Measured,
): Promise<void> {
  if (wanted === undefined) return;
  const batches = [...new Set([1, ...wanted])];
  const times = await measureBatches(model, prompt, batches, Math.max(3, rounds), signal);
  for (const [index, batch] of batches.entries()) {
    const runs = times[index] ?? [];
    passes.push({
      engine: 'paceline',
      measure: 'pass',
      tokens: batch,
      unit: 'ms',
      ...spread(runs),
      runs,
    });
  }
}

/** Text with each of the drafters: the rows of one text after the other. */
async function* textRows(
  { drafts, generate, rounds, signal, onProgress }: BenchOptions,
  model: Model,
  peer: PeerProcess | undefined,
  kinds: readonly DraftKind[],
  texts: readonly BenchText[],
): AsyncGenerator<BenchRow[], void> {
  if (drafts === undefined) return;
  yield* measureDrafts(model, {
    kinds,
    texts,
    generate,
    rounds,
    temperature: drafts.temperature,
    peer: peer === undefined ? undefined : peerRunner(peer),
    signal,
    onRound: (done, total) => onProgress({ task: 'drafting', done, total, unit: 'steps' }),
  });
}

/** The texts of drafting in the tokens of the model, of which only the vocabulary is read. */
async function textsFor(
  { drafts, prompt: length, generate, signal }: BenchOptions,
  path: string,
): Promise<BenchText[]> {
  if (drafts === undefined) return [];
  const { texts } = drafts;
  await using file = await readGguf(path, { signal });
  const tokenizer = createTokenizer(file);
  if (!('file' in texts)) return benchTexts(texts, tokenizer, { length, generate });
  const tokens = tokenizer.encode(await readText(texts.file));
  if (tokens.length > 0) return [{ name: 'text', prompts: [{ tokens }] }];
  throw new PacelineError('usage', `${texts.file} is empty`, { hint: 'Give a text to continue.' });
}

async function readText(path: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(path));
  } catch (cause) {
    throw new PacelineError('usage', `Cannot read a text from ${path}`, {
      hint: 'It must be a file that exists and is UTF-8.',
      details: { file: path },
      cause,
    });
  }
}

/** Most tokens of the peer's lookup of its input: its default, and about as many as ours. */
const lookups: Readonly<Record<string, number>> = { lookup: 0, 'lookup-16': 16 };

/** Runs of the peer as the drafting benchmark wants them, without drafts and by its lookup. */
export function peerRunner(peer: PeerProcess): PeerRunner {
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

/** A decode step, a verification of drafts, and a prefill chunk, taken apart. */
async function profiles(
  { rounds: wanted, signal }: BenchOptions,
  model: Model,
  prompt: readonly number[],
): Promise<ProfileReport[]> {
  const { prefillChunk } = model.runtime;
  const rounds = Math.max(3, wanted);
  const past = prompt.slice(0, -1);
  return [
    await profilePass(model, past, prompt.slice(-1), rounds, signal),
    await profilePass(model, past, prompt.slice(0, Math.min(8, prompt.length)), rounds, signal),
    await profilePass(model, [], prompt.slice(0, prefillChunk), rounds, signal),
  ];
}
