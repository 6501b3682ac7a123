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
import type { Workspace } from '../ggml/workspace.js';
import type { LanguageModel } from '../models/model.js';

export interface PassRequest {
  /** The sequence; its length is the position of the first token. Grows by the tokens on success. */
  readonly cache: KvCache;
  /** At least one. */
  readonly tokens: readonly number[];
  /** Which tokens' logits are wanted. */
  readonly outputs: 'last' | 'all';
  /** Also return the hidden rows after the output norm, for the same tokens as the logits. */
  readonly hidden?: boolean;
  /** Layers whose residual stream is wanted, for all tokens. */
  readonly taps?: readonly number[];
  readonly signal?: AbortSignal | undefined;
}

export interface PassResult {
  /** One row of vocabulary-size floats for each output. */
  readonly logits: readonly Float32Array[];
  /** [embedding, outputs] floats, if asked for. */
  readonly hidden?: Float32Array;
  /** For each tapped layer [embedding, tokens] floats. */
  readonly taps?: readonly Float32Array[];
}

interface Waiting {
  readonly request: PassRequest;
  readonly resolve: (result: PassResult) => void;
  readonly reject: (error: unknown) => void;
}

export class Batcher {
  readonly #model: LanguageModel;
  readonly #workspace: Workspace;
  /** Tokens of one pass, unless a single request has more. */
  readonly #limit: number;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: { model: LanguageModel; workspace: Workspace; tokenLimit: number }) {
    this.#model = options.model;
    this.#workspace = options.workspace;
    this.#limit = options.tokenLimit;
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

  /** Refuses new requests and waits for the ones in flight. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
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
      return { cache, start, count: own.length, past: cache.length };
    });
    const taps = [...new Set(requests.flatMap((request) => request.taps ?? []))];
    const graph = this.#workspace.begin();
    const result = this.#model.forward(graph, {
      tokens: graph.indices('tokens', tokens),
      positions: graph.indices('positions', positions),
      sequences,
      outputs: outputs.length === tokens.length ? undefined : graph.indices('outputs', outputs),
      taps,
    });
    const logits = graph.output(result.logits);
    const hidden = requests.some((request) => request.hidden)
      ? graph.output(result.hidden)
      : undefined;
    const tapped = new Map(taps.map((layer, index) => [layer, result.taps[index]]));
    for (const tensor of tapped.values()) if (tensor !== undefined) graph.output(tensor);
    // One request's abort must not take the others with it, so only a lone one can stop a pass.
    await graph.compute({ signal: requests.length === 1 ? requests[0]?.signal : undefined });

    const vocabulary = logits.shape[0];
    const width = result.hidden.shape[0];
    let row = 0;
    return requests.map((request, index) => {
      const rows = request.outputs === 'all' ? request.tokens.length : 1;
      const first = row;
      row += rows;
      const start = sequences[index]?.start ?? 0;
      const flat = graph.read(logits, first * vocabulary, rows * vocabulary);
      return {
        logits: Array.from({ length: rows }, (_, at) =>
          flat.subarray(at * vocabulary, (at + 1) * vocabulary),
        ),
        ...(hidden && request.hidden
          ? { hidden: graph.read(hidden, first * width, rows * width) }
          : {}),
        ...(request.taps
          ? {
              taps: request.taps.map((layer) => {
                const tensor = tapped.get(layer);
                if (tensor === undefined) {
                  throw new PacelineError('internal', `The model has no layer ${layer} to tap`);
                }
                return graph.read(tensor, start * width, request.tokens.length * width);
              }),
            }
          : {}),
      };
    });
  }
}
