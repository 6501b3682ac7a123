/**
 * A sequence: the tokens that a KV cache holds, and passes over more of them. The list and the
 * cache always have the same length. Knows nothing of text or sampling.
 */
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import type { KvCache } from '../cache/kv-cache.js';
import type { Batcher, PassRequest, PassResult } from './batcher.js';

export type PassOptions = Omit<PassRequest, 'cache' | 'tokens' | 'outputs'> & {
  readonly outputs?: PassRequest['outputs'];
};

export interface PrefillOptions extends PassOptions {
  /** Tokens of one pass; never changes the result. */
  readonly chunk: number;
  readonly onProgress?: OnProgress | undefined;
  /** Sees every chunk's result, for drafters that read hidden rows of the prompt. */
  readonly onPass?: (tokens: readonly number[], result: PassResult) => void;
}

export class Sequence {
  readonly cache: KvCache;
  readonly #batcher: Batcher;
  readonly #tokens: number[];

  constructor(batcher: Batcher, cache: KvCache, tokens: readonly number[] = []) {
    this.#batcher = batcher;
    this.cache = cache;
    this.#tokens = [...tokens];
  }

  /** What the cache holds, in order. */
  get tokens(): readonly number[] {
    return this.#tokens;
  }

  /** Runs the tokens after the ones that the cache holds. @throws see `Batcher.run`. */
  async run(tokens: readonly number[], options: PassOptions = {}): Promise<PassResult> {
    const { outputs = 'last', ...rest } = options;
    const result = await this.#batcher.run({ ...rest, cache: this.cache, tokens, outputs });
    for (const token of tokens) this.#tokens.push(token);
    return result;
  }

  /** Forgets every token from `length` on. @throws {PacelineError} `usage` beyond the end. */
  truncate(length: number): void {
    if (!Number.isSafeInteger(length) || length < 0 || length > this.#tokens.length) {
      throw new PacelineError(
        'usage',
        `A sequence of ${this.#tokens.length} tokens can't be cut to ${length}`,
      );
    }
    // State that can't go back is started over; the caller sees it in `tokens` and recomputes.
    this.#tokens.length = this.cache.truncate(length) ? length : 0;
    if (this.#tokens.length === 0) this.cache.truncate(0);
  }

  /**
   * Makes the cache hold exactly `prompt`, reusing the longest common prefix, and returns the last
   * token's result. At least one token is computed, since its logits are needed.
   */
  async prefill(
    prompt: readonly number[],
    options: PrefillOptions,
  ): Promise<{ readonly result: PassResult; readonly cachedTokens: number }> {
    const { chunk, onProgress, onPass, ...pass } = options;
    this.truncate(Math.min(commonPrefix(this.#tokens, prompt), prompt.length - 1));
    const cachedTokens = this.#tokens.length;
    const total = prompt.length - cachedTokens;
    this.cache.reserve(total);
    const report = (done: number) => onProgress?.({ task: 'prefill', done, total, unit: 'tokens' });
    report(0);
    for (;;) {
      const start = this.#tokens.length;
      const part = prompt.slice(start, start + chunk);
      const result = await this.run(part, pass);
      onPass?.(part, result);
      report(this.#tokens.length - cachedTokens);
      if (this.#tokens.length === prompt.length) return { result, cachedTokens };
    }
  }

  /** An independent copy that shares weights and passes. */
  fork(): Sequence {
    return new Sequence(this.#batcher, this.cache.fork(), this.#tokens);
  }

  dispose(): void {
    this.cache.dispose();
  }
}

/** Length of the longest common prefix. */
export function commonPrefix(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const limit = Math.min(a.length, b.length);
  let length = 0;
  while (length < limit && a[length] === b[length]) length++;
  return length;
}
