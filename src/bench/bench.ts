/**
 * One benchmark from end to end: makes or pads the model, measures ours and the peer in turns, and
 * gathers a report. Knows nothing of flags and prints nothing; what it has to tell goes to callbacks.
 */
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import { loadModel } from '../engine/load.js';
import type { Model } from '../engine/model.js';
import { companionsOf, resolveModelPath } from '../engine/model-path.js';
import type { DraftKind, KvType } from '../engine/types.js';
import { ReadMeter } from '../ggml/bandwidth.js';
import { cachedShapeModel } from '../synthetic/shape-model.js';
import { bandwidthReport } from './bandwidth.js';
import { measureDrafts, type PeerRunner } from './drafts.js';
import { measureBatches, measureRun, type RunTimes } from './measure.js';
import { type PaddedModel, paddedForPeer, paddedModel } from './padded-model.js';
import { installPeer, PeerProcess, peerVersion } from './peer.js';
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
  /** Whether passes are taken apart by operation. */
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

/** Room for prompts and texts of drafting, in tokens. */
const textContext = 4096;

/**
 * Measures what is asked for.
 * @throws {PacelineError} `usage` for unknown shapes, types and combinations; `check-failed` when a
 *   drafter or padding changes a text; `network` without a peer; what loading throws.
 */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const { prompt: length, generate, signal, onProgress } = options;
  const files = await filesFor(options);
  const { path, padded } = files;
  const largest = Math.max(0, ...(options.batches ?? []));
  // Texts of drafting are as long as they are; their cache grows with them.
  const least = options.drafts === undefined ? 1 : textContext;
  const context = Math.max(least, length + Math.max(generate + 1, largest) + 1);
  await using model = await loadModel(path, {
    contextLength: context,
    draftModels: files.draftModels,
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...(options.kvType === undefined ? {} : { kvType: options.kvType }),
    onProgress,
    signal,
  });
  const { info } = model;
  const prompt = noise(length, info.vocabularySize);
  const started = options.peer ? await startPeer(options, files, info.threads, context) : undefined;
  await using peer = started;
  const { ours, theirs, reads } = await takeTurns(options, model, peer, prompt);
  const rows: BenchRow[] = [
    ...speedRows('paceline', length - 1, ours),
    ...(theirs.length > 0 ? speedRows('node-llama-cpp', length - 1, theirs) : []),
  ];
  const bandwidth = await bandwidthReport(path, model, length, ours, reads);
  const passes = await passRows(options, model, prompt);
  const texts = await textRowsOf(options, model, peer);
  const profile = options.profile ? await profiles(options, model, prompt) : undefined;
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

async function startPeer(
  { cacheFolder, onNote, signal }: BenchOptions,
  { peerPath }: Files,
  threads: number,
  context: number,
): Promise<PeerProcess> {
  const entry = await installPeer(cacheFolder, { onNote, signal });
  return PeerProcess.start({ entry, model: peerPath, threads, context });
}

/** Ours, a plain read of memory, theirs, after a round that warms all up and is not counted. */
async function takeTurns(
  { rounds, generate, signal, onProgress }: BenchOptions,
  model: Model,
  peer: PeerProcess | undefined,
  prompt: readonly number[],
): Promise<{ ours: RunTimes[]; theirs: RunTimes[]; reads: number[] }> {
  using meter = await ReadMeter.open(model.info.threads);
  const ours: RunTimes[] = [];
  const theirs: RunTimes[] = [];
  const reads: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    onProgress({ task: 'measuring', done: round, total: rounds + 1, unit: 'steps' });
    const own = await measureRun(model, prompt, generate, signal);
    const read = await meter?.measure();
    if (round > 0) ours.push(own);
    if (round > 0 && read !== undefined) reads.push(read);
    if (peer === undefined) continue;
    signal.throwIfAborted();
    const other = await peer.run(prompt, generate);
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

async function passRows(
  { batches: wanted, rounds, signal }: BenchOptions,
  model: Model,
  prompt: readonly number[],
) {
  if (wanted === undefined) return [];
  const batches = [...new Set([1, ...wanted])];
  const times = await measureBatches(model, prompt, batches, Math.max(3, rounds), signal);
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

/** Text with each of the drafters. */
async function textRowsOf(
  options: BenchOptions,
  model: Model,
  peer: PeerProcess | undefined,
): Promise<BenchRow[]> {
  const { drafts, generate, rounds, signal, onProgress } = options;
  if (drafts === undefined) return [];
  return measureDrafts(model, {
    kinds: [...new Set<DraftKind>(['none', ...drafts.kinds])],
    texts: await textsFor(options, drafts, model),
    generate,
    rounds,
    temperature: drafts.temperature,
    peer: peer === undefined ? undefined : peerRunner(peer),
    signal,
    onRound: (done, total) => onProgress({ task: 'drafting', done, total, unit: 'steps' }),
  });
}

async function textsFor(
  { prompt: length, generate }: BenchOptions,
  { texts }: DraftBench,
  { tokenizer }: Model,
): Promise<BenchText[]> {
  if (!('file' in texts)) return benchTexts(texts, tokenizer, { length, generate });
  const text = await readText(texts.file);
  return [{ name: 'text', prompts: [{ tokens: tokenizer.encode(text) }] }];
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
