/**
 * A sequence: the tokens that a KV cache holds, and passes over more of them. The list and the
 * cache always have the same length. Knows nothing of text or sampling.
 */
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import type { KvCache } from '../cache/kv-cache.js';
import type { Batcher, FeatureRequest, PassRequest, PassResult } from './batcher.js';

export type PassOptions = Omit<PassRequest, 'cache' | 'tokens' | 'outputs'> & {
  readonly outputs?: PassRequest['outputs'];
};

export interface PrefillOptions {
  /** Tokens of one pass; never changes the result. */
  readonly chunk: number;
  /** What drafters want of the last `featureWindow` tokens of the prompt. */
  readonly features?: Omit<FeatureRequest, 'rows' | 'hiddenRows'> | undefined;
  readonly featureWindow?: number;
  /** Hidden states of the last so many only. */
  readonly hiddenWindow?: number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Sees every pass; `position` is that of its first token. */
  readonly onPass?: (position: number, tokens: readonly number[], result: PassResult) => void;
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
   * Keeps the longest prefix that the sequence has in common with `prompt`, but not all of it: the
   * last token is computed again, since its logits are needed. Returns the tokens kept.
   */
  keepPrefix(prompt: readonly number[]): number {
    this.truncate(Math.min(commonPrefix(this.#tokens, prompt), prompt.length - 1));
    return this.#tokens.length;
  }

  /** Runs the rest of `prompt`, which begins with the sequence, and returns the last result. */
  async prefill(prompt: readonly number[], options: PrefillOptions): Promise<PassResult> {
    const { chunk, onProgress, onPass, featureWindow = 0, signal, features } = options;
    const { hiddenWindow = featureWindow } = options;
    const first = this.#tokens.length;
    const total = prompt.length - first;
    this.cache.reserve(total);
    const report = () =>
      onProgress?.({ task: 'prefill', done: this.#tokens.length - first, total, unit: 'tokens' });
    report();
    for (;;) {
      const position = this.#tokens.length;
      const part = prompt.slice(position, position + chunk);
      const end = position + part.length;
      // Rows that no drafter will read are not copied, and cost the prefill nothing.
      const rows = Math.min(part.length, end - (prompt.length - featureWindow));
      const hiddenRows = Math.min(rows, end - (prompt.length - hiddenWindow));
      const hidden = features?.hidden === true && hiddenRows > 0;
      const wanted =
        rows > 0 && (hidden || features?.taps !== undefined)
          ? { ...features, hidden, rows, hiddenRows }
          : undefined;
      const result = await this.run(part, { signal, features: wanted });
      onPass?.(position, part, result);
      report();
      if (end === prompt.length) return result;
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
