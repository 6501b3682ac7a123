/**
 * A model that reads given texts: one sequence at a time, from an empty state, no sampling, no
 * drafts. What measures models on text stands on it. Memory of logits is bounded by the pass, not by
 * the text.
 */

import { PacelineError, throwIfAborted } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import type { KvType } from '../cache/kv-names.js';
import { cacheType, chooseKvType } from '../cache/kv-type.js';
import { LayeredState } from '../cache/layered-state.js';
import { Backend } from '../ggml/backend.js';
import type { Graph } from '../ggml/graph.js';
import { nativeKernels } from '../ggml/native/library.js';
import type { WeightLayout } from '../ggml/weight.js';
import { Workspace } from '../ggml/workspace.js';
import { readGguf } from '../gguf/reader.js';
import type { ExpertSubset } from '../models/expert-subset.js';
import { requireLogits, requireText } from '../models/head.js';
import { rowShapes } from '../models/layer-state.js';
import { loadLanguageModel, textNeeds } from '../models/load.js';
import type { LanguageModel } from '../models/model.js';
import { subsetOf } from '../models/subset-source.js';
import { createTokenizer, type Tokenizer } from '../tokenizer/tokenizer.js';

export interface EvaluatorOptions {
  /** Tokens of the longest text. */
  readonly contextLength: number;
  /** Default: what `loadModel` takes. */
  readonly kvType?: KvType | undefined;
  /** Default: the physical cores. */
  readonly threads?: number | undefined;
  /** Only these experts; default: all. */
  readonly subset?: ExpertSubset | undefined;
  /** How weights are stored; default: as for generating. */
  readonly layouts?: readonly WeightLayout[] | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Tokens of a pass, and floats of its logits. */
const mostRows = 512;
const mostLogits = 2 ** 24;

export class Evaluator implements Disposable {
  readonly #workspace: Workspace;

  private constructor(
    readonly path: string,
    readonly tokenizer: Tokenizer,
    readonly kvType: KvType,
    readonly model: LanguageModel,
    readonly backend: Backend,
    private readonly state: LayeredState,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.#workspace = new Workspace(backend);
  }

  /**
   * Loads a model.
   * @throws {PacelineError} as `loadModel`.
   */
  static async open(path: string, options: EvaluatorOptions): Promise<Evaluator> {
    const { contextLength, threads, layouts, subset, onProgress, signal } = options;
    await using file = await readGguf(path, { signal });
    const source = subset === undefined ? file : await subsetOf(file, subset, signal);
    const tokenizer = createTokenizer(file);
    const layers = textNeeds(source, contextLength).layerStates;
    const { kernels } = nativeKernels();
    const kvType = chooseKvType(options.kvType, rowShapes(layers), kernels?.path);
    const type = cacheType(kvType);
    const backend = new Backend(threads === undefined ? {} : { threads });
    let model: LanguageModel | undefined;
    try {
      const load = { contextLength, cacheType: type, layouts, onProgress, signal };
      model = await loadLanguageModel(source, { backend, ...load });
      requireText(model);
      // It never meets another state, so it needs no identity.
      const capacity = contextLength;
      const state = new LayeredState({ backend, layers, capacity, type, identity: '' });
      return new Evaluator(path, tokenizer, kvType, model, backend, state, signal);
    } catch (error) {
      model?.dispose();
      backend.dispose();
      throw error;
    }
  }

  /** Logits in a row. */
  get vocabSize(): number {
    return this.model.hyperparameters.vocabSize;
  }

  /**
   * The logits after each token from place `from` on, in order. A row is overwritten when the next
   * is asked for.
   */
  async *logits(tokens: readonly number[], from: number): AsyncGenerator<Float32Array, void> {
    const rows = Math.max(1, Math.min(mostRows, Math.floor(mostLogits / this.vocabSize)));
    this.state.truncate(0);
    for (let start = 0; start < tokens.length; ) {
      const end =
        start < from ? Math.min(from, start + mostRows) : Math.min(tokens.length, start + rows);
      const wanted = start < from ? 1 : end - start;
      const all = await this.#pass(tokens.slice(start, end), wanted, 'outputs');
      if (start >= from) {
        for (let row = 0; row < wanted; row++) {
          yield all.subarray(row * this.vocabSize, (row + 1) * this.vocabSize);
        }
      }
      start = end;
    }
  }

  /**
   * Reads a text and computes every layer for every token. `seen` is called after each pass, when
   * what was added to its graph can be read; `begun` when a graph is still empty.
   */
  async read(
    tokens: readonly number[],
    seen: (graph: Graph) => void,
    begun?: (graph: Graph) => void,
  ): Promise<void> {
    this.state.truncate(0);
    for (let start = 0; start < tokens.length; start += readRows) {
      await this.#pass(tokens.slice(start, start + readRows), 1, 'all', seen, begun);
    }
  }

  /** Appends tokens; logits of the last `outputs` of them. */
  async #pass(
    tokens: readonly number[],
    outputs: number,
    hiddenRows: 'all' | 'outputs',
    seen?: (graph: Graph) => void,
    begun?: (graph: Graph) => void,
  ): Promise<Float32Array> {
    const graph = this.#workspace.begin();
    begun?.(graph);
    const past = this.state.length;
    const count = tokens.length;
    const positions = tokens.map((_, at) => past + at);
    const rows = Array.from({ length: outputs }, (_, at) => count - outputs + at);
    const result = this.model.forward(graph, {
      tokens: graph.indices('tokens', tokens),
      positions: graph.indices('positions', positions),
      sequences: [{ state: this.state, start: 0, count, past }],
      outputs: graph.indices('outputs', rows),
      hiddenRows,
    });
    const logits = graph.output(requireLogits(result));
    this.state.begin(count);
    try {
      await graph.compute({ signal: this.signal });
    } catch (error) {
      this.state.commit(0);
      throw error;
    }
    this.state.commit(count);
    seen?.(graph);
    return graph.read(logits);
  }

  dispose(): void {
    this.#workspace.dispose();
    this.state.dispose();
    this.model.dispose();
    this.backend.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Tokens of a pass whose inner values are kept: fewer, because they take the memory of all layers. */
const readRows = 128;

export interface ReadTextOptions {
  /** Tokens of a chunk. */
  readonly contextLength: number;
  /** Most chunks to read. Default: all. */
  readonly chunks?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Tokens of a chunk, where nobody says how many. */
export const usualChunk = 512;

/**
 * Reads a text chunk by chunk, and returns how many they were.
 * @throws {PacelineError} `usage` for a text of fewer than two chunks; `aborted`; as `read`.
 */
export async function readText(
  tokenizer: Tokenizer,
  text: string,
  { contextLength, chunks: most, onProgress, signal }: ReadTextOptions,
  read: (chunk: readonly number[]) => Promise<void>,
): Promise<number> {
  const all = chunksOf(tokenizer, text, contextLength);
  if (all.length < 2) {
    throw new PacelineError(
      'usage',
      `The text has fewer than two chunks of ${contextLength} tokens`,
      { hint: 'Give a longer text, or a smaller --ctx.' },
    );
  }
  const chunks = all.slice(0, most ?? all.length);
  for (const [index, chunk] of chunks.entries()) {
    throwIfAborted(signal);
    const [done, total] = [index * contextLength, chunks.length * contextLength];
    onProgress?.({ task: 'reading', done, total, unit: 'tokens' });
    await read(chunk);
  }
  return chunks.length;
}

/**
 * A text in chunks of equal length, as llama.cpp's tools cut it: the tokens of the whole text, the
 * first of each chunk replaced by BOS where the model begins texts with it. What is left at the end
 * is dropped.
 */
export function chunksOf(tokenizer: Tokenizer, text: string, length: number): number[][] {
  const tokens = tokenizer.encode(text);
  const { addsBos, bosId } = tokenizer;
  return Array.from({ length: Math.floor(tokens.length / length) }, (_, index) => {
    const chunk = tokens.slice(index * length, (index + 1) * length);
    if (addsBos && bosId !== undefined) chunk[0] = bosId;
    return chunk;
  });
}
