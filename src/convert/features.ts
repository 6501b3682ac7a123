/**
 * What a draft model learns from, made by the engine that will use it: texts, the hidden rows that
 * drafters are shown of them, and the parts of the target that drafters share. A folder of GGUF files,
 * written one by one, so that a run that was stopped goes on where it was.
 *
 *   features.json      the settings; a folder holds features of one model and one list of texts
 *   target.gguf        the target's metadata, token embeddings, output norm and head
 *   shard-00000.gguf   `ids` I32 [N]; `offsets` I32 [texts + 1]; `first` I32 [texts], where what is
 *                      worth learning begins; `hidden` BF16 [embedding, N], after the output norm;
 *                      `taps` BF16 [embedding * taps, N]
 *
 * BF16, as rows of some models are beyond what F16 holds.
 */
import { setMaxListeners } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PacelineError, throwIfAborted } from '../base/errors.js';
import { writeFileAtomically } from '../base/files.js';
import type { OnProgress } from '../base/progress.js';
import { continueText } from '../bench/continue-text.js';
import { promptTokens, type TextPrompt } from '../bench/text-prompts.js';
import { loadModel } from '../engine/load.js';
import type { Model } from '../engine/model.js';
import { maximumThreads } from '../ggml/host.js';
import { RowConverter } from '../ggml/row-converter.js';
import { GgmlType } from '../ggml/types.js';
import { type GgufFile, readGguf } from '../gguf/reader.js';
import { splitCountKey, splitNumberKey, splitTensorsKey } from '../gguf/split.js';
import type { GgufTensorInfo } from '../gguf/types.js';
import { type GgufTensorToWrite, writeGguf } from '../gguf/writer.js';
import { type RecordedFeatures, recorderName, recorderSource } from './feature-recorder.js';
import { tensorsToWrite } from './quantized-tensors.js';

export interface FeaturesOptions {
  /** Path of the model. */
  readonly model: string;
  /** The folder; made where it is missing. */
  readonly folder: string;
  /** Prompts that the model goes on from; what it says is learnt. */
  readonly prompts?: readonly TextPrompt[];
  /** Texts that are read, in pieces of `contextLength`; all of them is learnt. */
  readonly texts?: readonly string[];
  /** Most tokens of a text with its prompt. Default 512. */
  readonly contextLength?: number;
  /** Temperatures of answers, by turns. Default 0 and 0.8. */
  readonly temperatures?: readonly number[];
  /**
   * Residual streams to keep: the inputs of these layers, counted from 0; the number of layers is the
   * output of the last one. Default: `usualTaps`.
   */
  readonly taps?: readonly number[];
  /** Texts in a file. Default 64. */
  readonly shardTexts?: number;
  readonly threads?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface FeaturesResult {
  readonly folder: string;
  readonly texts: number;
  /** In this run and those before. */
  readonly shards: number;
  /** Written in this run. */
  readonly tokens: number;
  readonly taps: readonly number[];
}

/** Answers at once: a pass over so many rows costs two to three times as much as one over one row. */
const together = 16;

/**
 * Layers that a DFlash model of a target with `layers` layers reads, as its authors choose them: evenly
 * spread between the second and the third from the end (arXiv 2602.06036).
 * @returns indices as in `FeaturesOptions.taps`.
 */
export function usualTaps(layers: number, count = 5): number[] {
  const most = Math.max(1, Math.min(count, layers - 3));
  if (most === 1) return [Math.floor(layers / 2) + 1];
  const at = (i: number) => Math.round(1 + (i * (layers - 4)) / (most - 1));
  return [...new Set(Array.from({ length: most }, (_, i) => at(i) + 1))];
}

/**
 * Dumps features.
 * @throws {PacelineError} as `loadModel`; `usage` where nothing is to be read, for taps that the model
 *   lacks, and for a folder of other features; `io`; `aborted`.
 */
export async function dumpFeatures(options: FeaturesOptions): Promise<FeaturesResult> {
  const { folder, signal, onProgress, threads, contextLength = 512, shardTexts = 64 } = options;
  await using model = await loadModel(options.model, {
    contextLength,
    draftModels: [],
    ...(threads === undefined ? {} : { threads }),
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  const { layerCount } = model.runtime.model.hyperparameters;
  const taps = checkedTaps(options.taps ?? usualTaps(layerCount), layerCount);
  const work = workOf(model, options, contextLength);
  await mkdir(folder, { recursive: true });
  await claim(folder, settingsOf(model, options, { taps, contextLength, shardTexts, work }));
  await writeTarget(model.info.path, join(folder, 'target.gguf'), options);

  const shards = Math.ceil(work.length / shardTexts);
  const total = work.length;
  let tokens = 0;
  for (let shard = 0; shard < shards; shard++) {
    const path = join(folder, `shard-${String(shard).padStart(5, '0')}.gguf`);
    if (existsSync(path)) continue;
    const own = work.slice(shard * shardTexts, (shard + 1) * shardTexts);
    const texts = await recordAll(model, own, taps, signal, (finished) => {
      const done = shard * shardTexts + finished;
      onProgress?.({ task: 'recording', done, total, unit: 'steps' });
    });
    await writeShard(path, texts, signal);
    tokens += texts.reduce((sum, { ids }) => sum + ids.length, 0);
  }
  onProgress?.({ task: 'recording', done: total, total, unit: 'steps' });
  return { folder, texts: total, shards, tokens, taps };
}

/** A text to record: what is read, and how it goes on. */
interface Work {
  readonly tokens: readonly number[];
  /** Tokens to generate; 0: it is read only. */
  readonly generate: number;
  readonly temperature: number;
  readonly seed: number;
}

function workOf(model: Model, options: FeaturesOptions, contextLength: number): Work[] {
  const { prompts = [], texts = [], temperatures = [0, 0.8] } = options;
  const { tokenizer } = model.runtime;
  const read = texts.flatMap((text) => {
    const all = tokenizer.encode(text);
    const size = contextLength - 1;
    const count = Math.ceil(all.length / size);
    const pieces = Array.from({ length: count }, (_, i) => all.slice(i * size, (i + 1) * size));
    return pieces
      .filter((tokens) => tokens.length > 1)
      .map((tokens) => ({ tokens, generate: 0, temperature: 0, seed: 0 }));
  });
  const answered = prompts.flatMap((prompt, index) => {
    const tokens = promptTokens(model, prompt);
    const generate = contextLength - tokens.length - 1;
    if (generate < 8) return [];
    const temperature = temperatures[index % temperatures.length] ?? 0;
    return [{ tokens, generate, temperature, seed: index }];
  });
  const work = [...answered, ...read];
  if (work.length > 0) return work;
  throw new PacelineError('usage', 'There is no text to record', {
    hint: `Give prompts or texts; prompts must be shorter than ${contextLength - 8} tokens.`,
  });
}

function checkedTaps(taps: readonly number[], layers: number): readonly number[] {
  const wrong = taps.find((tap) => !Number.isInteger(tap) || tap < 1 || tap > layers);
  if (wrong === undefined && new Set(taps).size === taps.length && taps.length > 0) return taps;
  throw new PacelineError('usage', `The model has no layers ${taps.join(',')} to read after`, {
    hint: `Give different numbers from 1 to ${layers}: tap n is what layer n is given, ${layers} the last one's output.`,
    details: { taps, layers },
  });
}

interface RecordedText extends RecordedFeatures {
  readonly ids: readonly number[];
  readonly first: number;
}

/** Records all texts, `together` at any time, so that a long answer keeps none of the others waiting. */
async function recordAll(
  model: Model,
  work: readonly Work[],
  taps: readonly number[],
  signal: AbortSignal | undefined,
  onFinished: (count: number) => void,
): Promise<RecordedText[]> {
  const texts: RecordedText[] = [];
  const waiting = work.entries();
  let finished = 0;
  onFinished(finished);
  // Each answer listens to the signal: Node.js would take so many listeners for a leak.
  if (signal !== undefined) setMaxListeners(0, signal);
  const lane = async () => {
    for (const [index, item] of waiting) {
      throwIfAborted(signal);
      texts[index] = await record(model, item, taps, signal);
      finished += 1;
      onFinished(finished);
    }
  };
  await Promise.all(Array.from({ length: together }, lane));
  return texts;
}

async function record(
  model: Model,
  { tokens, generate, temperature, seed }: Work,
  taps: readonly number[],
  signal: AbortSignal | undefined,
): Promise<RecordedText> {
  if (model.runtime.model.hiddenLength !== model.info.embeddingLength) {
    const problem = 'The residual of this model has several streams, which features do not record';
    throw new PacelineError('platform', problem, { hint: 'Take another target.' });
  }
  const source = recorderSource(taps);
  const { tokens: said } = await continueText(model, tokens, {
    sources: [source],
    mode: recorderName,
    tokens: Math.max(1, generate),
    temperature,
    seed,
    mayEnd: true,
    signal,
  });
  throwIfAborted(signal);
  const { hidden, taps: rows } = source.take();
  const width = model.info.embeddingLength;
  // The last token has been sampled and not run: it has no rows, and is known as a label only.
  const known = Math.min(hidden.length / width, tokens.length + said.length);
  const all = generate === 0 ? tokens : [...tokens, ...said];
  return {
    ids: all.slice(0, known),
    first: generate === 0 ? 0 : Math.min(tokens.length, known),
    hidden: hidden.subarray(0, known * width),
    taps: rows.subarray(0, known * width * taps.length),
  };
}

async function writeShard(
  path: string,
  texts: readonly RecordedText[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const ids = texts.flatMap((text) => text.ids);
  const offsets = [0];
  for (const text of texts) offsets.push((offsets.at(-1) ?? 0) + text.ids.length);
  const width = (rows: 'hidden' | 'taps') =>
    texts.reduce((sum, text) => sum + text[rows].length, 0) / Math.max(1, ids.length);
  const integers = (name: string, values: readonly number[]): GgufTensorToWrite => ({
    name,
    type: GgmlType.I32,
    shape: [values.length],
    data: () => [new Uint8Array(Int32Array.from(values).buffer)],
  });
  const rows = (name: 'hidden' | 'taps'): GgufTensorToWrite => ({
    name,
    type: GgmlType.BF16,
    shape: [width(name), ids.length],
    data: () => texts.map((text) => bf16(text[name])),
  });
  const tensors = [
    integers('ids', ids),
    integers('offsets', offsets),
    integers(
      'first',
      texts.map(({ first }) => first),
    ),
    rows('hidden'),
    rows('taps'),
  ];
  await writeGguf(path, { metadata: [], tensors }, { signal });
}

/** Rounded to the nearest, ties to even. */
function bf16(values: Float32Array): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (const [at, word] of bits.entries()) {
    halves[at] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(halves.buffer);
}

/** The tensors of a target that drafters share. */
const sharedTensors: readonly string[] = [
  'token_embd.weight',
  'output_norm.weight',
  'output.weight',
];

async function writeTarget(
  model: string,
  path: string,
  { threads, signal }: FeaturesOptions,
): Promise<void> {
  if (existsSync(path)) return;
  await using file = await readGguf(model, { signal });
  await using converter = new RowConverter(threads ?? maximumThreads());
  const chosen = sharedTensors
    .map((name) => file.tensors.get(name))
    .filter((tensor) => tensor !== undefined)
    .map((tensor) => ({
      ...tensor,
      target: tensor.shape.filter((extent) => extent > 1).length > 1 ? GgmlType.F16 : GgmlType.F32,
    }));
  const reader = {
    read: ({ name }: { readonly name: string }, target: Uint8Array, start: number) =>
      file.readTensor(file.tensors.get(name) as GgufTensorInfo, target, { start, signal }),
  };
  const tensors = tensorsToWrite(chosen, { reader, converter, signal });
  await writeGguf(path, { metadata: unsplit(file), tensors }, { signal });
}

function unsplit(file: GgufFile): GgufFile['metadata'] {
  const metadata = new Map(file.metadata);
  for (const key of [splitNumberKey, splitCountKey, splitTensorsKey]) metadata.delete(key);
  return metadata;
}

interface Plan {
  readonly taps: readonly number[];
  readonly contextLength: number;
  readonly shardTexts: number;
  readonly work: readonly Work[];
}

/** What must be the same where a run goes on. */
function settingsOf(
  model: Model,
  options: FeaturesOptions,
  { taps, contextLength, shardTexts, work }: Plan,
): string {
  const { info, runtime } = model;
  const state = runtime.createState();
  const { fingerprint } = state;
  state.dispose();
  const settings = {
    format: 1,
    model: options.model,
    architecture: info.architecture,
    layers: runtime.model.hyperparameters.layerCount,
    embedding: info.embeddingLength,
    epsilon: runtime.model.hyperparameters.epsilon,
    taps,
    context: contextLength,
    shard_texts: shardTexts,
    texts: work.length,
    generated: work.filter(({ generate }) => generate > 0).length,
    temperatures: options.temperatures ?? [0, 0.8],
    prompt_tokens: work.reduce((sum, { tokens }) => sum + tokens.length, 0),
    fingerprint,
  };
  return `${JSON.stringify(settings, undefined, 2)}\n`;
}

/** Makes the folder one of these settings. @throws `usage` where it is another's. */
async function claim(folder: string, settings: string): Promise<void> {
  const path = join(folder, 'features.json');
  const found = await readFile(path, 'utf8').catch(() => undefined);
  if (found === settings) return;
  if (found === undefined) {
    return writeFileAtomically(path, (sink) => sink.write(Buffer.from(settings)));
  }
  throw new PacelineError('usage', `${folder} holds features of other texts, or of another model`, {
    hint: 'Give another folder, or the same arguments as before to go on.',
    details: { folder },
  });
}
