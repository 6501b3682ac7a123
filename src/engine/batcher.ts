/**
 * Runs passes of one model. Requests of several sequences that wait at the same time share a pass,
 * so that weights are read once for all of them. Kernels are batch-invariant on the CPU, so who
 * shared a pass never shows in the logits.
 *
 * A request is small (a prefill chunk, or the last token and its drafts); cutting work into such
 * requests is what lets sequences take turns and lets an abort come through.
 */
import { PacelineError, throwIfAborted } from '../base/errors.js';
import type { KvCache } from '../cache/kv-cache.js';
import type { FeatureRows } from '../decode/drafter.js';
import type { Backend } from '../ggml/backend.js';
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { LanguageModel } from '../models/model.js';
import { mostRows, PassBuilder, type PassShape } from './pass.js';

export interface PassRequest {
  /** The sequence; its length is the position of the first token. Grows by the tokens on success. */
  readonly cache: KvCache;
  /** At least one. */
  readonly tokens: readonly number[];
  /** Which tokens' logits are wanted. */
  readonly outputs: 'last' | 'all';
  /** What drafters want to see of the pass besides. */
  readonly features?: FeatureRequest | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Rows inside the model that drafters read, of the last `rows` tokens of the request. */
export interface FeatureRequest {
  /** The hidden state after the output norm. */
  readonly hidden?: boolean;
  /** Residual streams: index i is the input of layer i, the layer count the last one's output. */
  readonly taps?: readonly number[];
  readonly rows: number;
  /** Hidden states of so many only; they are dearer than taps, as the last layer computes them. */
  readonly hiddenRows?: number;
}

export interface PassResult {
  /** One row of vocabulary-size floats for each output; the sequence's next pass overwrites them. */
  readonly logits: readonly Float32Array[];
  readonly hidden?: FeatureRows;
  readonly taps?: FeatureRows;
  /** Duration of the pass, in milliseconds, and how many rows of other sequences were in it. */
  readonly passMs: number;
  readonly otherRows: number;
}

/** From so many rows on, small operations of the graph are worth all threads. */
const wideRows = 64;

interface Waiting {
  readonly request: PassRequest;
  readonly resolve: (result: PassResult) => void;
  readonly reject: (error: unknown) => void;
}

export class Batcher {
  readonly #passes: PassBuilder;
  /** Tokens of one pass, unless a single request has more. */
  readonly #limit: number;
  readonly #layerCount: number;
  /** Where a sequence's logits go: new arrays of megabytes for every pass would keep the GC busy. */
  readonly #logits = new WeakMap<KvCache, Float32Array>();
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: { model: LanguageModel; backend: Backend; tokenLimit: number }) {
    this.#passes = new PassBuilder(options.model, options.backend);
    this.#limit = options.tokenLimit;
    this.#layerCount = options.model.hyperparameters.layerCount;
  }

  /**
   * Computes the request, together with others that wait.
   * @throws {PacelineError} `context-overflow`, `aborted`, `memory`, `disposed`.
   */
  run(request: PassRequest): Promise<PassResult> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        throw new PacelineError('disposed', 'The model has been disposed of');
      }
      throwIfAborted(request.signal);
      request.cache.reserve(request.tokens.length);
      this.#waiting.push({ request, resolve, reject });
      this.#running ??= this.#drain();
    });
  }

  /** Says that a sequence's cache is about to be freed. */
  forget(cache: KvCache): void {
    this.#passes.forget(cache);
  }

  /** Refuses new requests, waits for the ones in flight, and frees the graphs. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
    this.#passes.dispose();
  }

  async #drain(): Promise<void> {
    // Requests made in the same turn of the event loop share the first pass.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#take();
      if (batch.length > 0) await this.#pass(batch);
    }
    this.#running = undefined;
  }

  /** The next requests, oldest first, as long as they fit; aborted ones are turned away. */
  #take(): Waiting[] {
    const batch: Waiting[] = [];
    const left: Waiting[] = [];
    let tokens = 0;
    for (const waiting of this.#waiting) {
      const { request } = waiting;
      if (request.signal?.aborted) {
        waiting.reject(new PacelineError('aborted', 'The operation was aborted'));
      } else if (batch.length > 0 && tokens + request.tokens.length > this.#limit) {
        left.push(waiting);
      } else {
        tokens += request.tokens.length;
        batch.push(waiting);
      }
    }
    this.#waiting = left;
    return batch;
  }

  async #pass(batch: readonly Waiting[]): Promise<void> {
    try {
      const results = await this.#compute(batch.map(({ request }) => request));
      for (const [index, { request, resolve }] of batch.entries()) {
        request.cache.append(request.tokens.length);
        resolve(results[index] as PassResult);
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  async #compute(requests: readonly PassRequest[]): Promise<PassResult[]> {
    const tokens: number[] = [];
    const positions: number[] = [];
    const outputs: number[] = [];
    const sequences = requests.map(({ cache, tokens: own, outputs: wanted }) => {
      const start = tokens.length;
      for (const [index, token] of own.entries()) {
        tokens.push(token);
        positions.push(cache.length + index);
        if (wanted === 'all' || index === own.length - 1) outputs.push(start + index);
      }
      return { cache, start, count: own.length };
    });
    const layers = [...new Set(requests.flatMap((request) => tappedLayers(request)))];
    const shape = {
      sequences,
      outputs: outputs.length === tokens.length ? undefined : outputs,
      taps: layers,
      hidden: this.#hiddenRows(requests, sequences, outputs, layers),
    };
    const pass = this.#passes.prepare(shape, Int32Array.from(tokens), Int32Array.from(positions));
    const { graph, logits } = pass;
    const taps = new Map(layers.map((layer, at) => [layer, tapOf(pass.taps, at)]));
    const began = performance.now();
    // One request's abort must not take the others with it, so only a lone one can stop a pass.
    const signal = requests.length === 1 ? requests[0]?.signal : undefined;
    try {
      await graph.compute({ signal, wide: tokens.length >= wideRows });
    } catch (error) {
      this.#passes.discard(pass);
      throw error;
    }
    const passMs = performance.now() - began;

    const vocabulary = logits.shape[0];
    let row = 0;
    const results = requests.map((request, index) => {
      const rows = request.outputs === 'all' ? request.tokens.length : 1;
      const target = this.#logitsOf(request.cache, rows * vocabulary);
      const flat = graph.readInto(target, logits, row * vocabulary);
      row += rows;
      const start = sequences[index]?.start ?? 0;
      const end = start + request.tokens.length;
      const { hidden, rows: wanted = 0 } = request.features ?? {};
      const from = Math.max(start, end - wanted);
      const known = hiddenFrom(request, sequences[index]);
      const skipped = typeof shape.hidden === 'string' ? 0 : known - shape.hidden.indexOf(known);
      return {
        logits: Array.from({ length: rows }, (_, at) =>
          flat.subarray(at * vocabulary, (at + 1) * vocabulary),
        ),
        ...(hidden && pass.hidden
          ? { hidden: readRows(graph, [pass.hidden], known - skipped, end - skipped) }
          : {}),
        ...(request.features?.taps
          ? {
              taps: readRows(
                graph,
                tappedLayers(request).map((layer) => taps.get(layer) as Tensor),
                from,
                end,
              ),
            }
          : {}),
        passMs,
        otherRows: tokens.length - request.tokens.length,
      };
    });
    if (!graph.repeatable) this.#passes.discard(pass);
    return results;
  }

  /**
   * Which rows' hidden states are wanted. In a long pass the others are spared most of the last
   * layer, unless it is tapped as a whole.
   */
  #hiddenRows(
    requests: readonly PassRequest[],
    slices: readonly Slice[],
    outputs: readonly number[],
    layers: readonly number[],
  ): PassShape['hidden'] {
    if (!requests.some(({ features }) => features?.hidden === true)) return 'none';
    const count = slices.reduce((sum, slice) => sum + slice.count, 0);
    if (count <= mostRows || layers.includes(this.#layerCount - 1)) return 'all';
    const rows = new Set(outputs);
    for (const [index, request] of requests.entries()) {
      const slice = slices[index];
      if (slice === undefined || request.features?.hidden !== true) continue;
      for (let row = hiddenFrom(request, slice); row < slice.start + slice.count; row++) {
        rows.add(row);
      }
    }
    return rows.size === count ? 'all' : [...rows].sort((a, b) => a - b);
  }

  #logitsOf(cache: KvCache, count: number): Float32Array {
    const kept = this.#logits.get(cache);
    if (kept !== undefined && kept.length >= count) return kept.subarray(0, count);
    const made = new Float32Array(count);
    this.#logits.set(cache, made);
    return made;
  }
}

interface Slice {
  readonly start: number;
  readonly count: number;
}

/** The first row of the batch whose hidden state a request wants. */
function hiddenFrom({ features }: PassRequest, slice: Slice | undefined): number {
  const { start = 0, count = 0 } = slice ?? {};
  const wanted = features?.hiddenRows ?? features?.rows ?? 0;
  return Math.max(start, start + count - wanted);
}

/** Layers (by their output) that a request taps, in its order. */
function tappedLayers({ features }: PassRequest): readonly number[] {
  return (features?.taps ?? []).map((index) => {
    if (index >= 1) return index - 1;
    throw new PacelineError('internal', 'The embedding output cannot be tapped');
  });
}

function tapOf(taps: readonly (Tensor | undefined)[], index: number): Tensor {
  const tap = taps[index];
  if (tap === undefined) throw new PacelineError('internal', 'A tapped layer does not exist');
  return tap;
}

/** Rows [from, end) of tensors [width, T], side by side. */
function readRows(
  graph: Graph,
  tensors: readonly Tensor[],
  from: number,
  end: number,
): FeatureRows {
  const rows = end - from;
  const size = tensors[0]?.shape[0] ?? 0;
  const parts = tensors.map((tensor) => graph.read(tensor, from * size, rows * size));
  const first = parts[0];
  if (parts.length === 1 && first !== undefined) return { rows, width: size, data: first };
  const width = size * parts.length;
  const data = new Float32Array(rows * width);
  for (const [at, part] of parts.entries()) {
    for (let row = 0; row < rows; row++) {
      data.set(part.subarray(row * size, (row + 1) * size), row * width + at * size);
    }
  }
  return { rows, width, data };
}
