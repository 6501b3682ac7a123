/**
 * One text inside the engine: its tokens, the state that the model has of them, and the states of its
 * drafters, which are cut, forked, saved and disposed of together. The token list and the state
 * always have the same length. Knows nothing of characters or sampling.
 */
import { PacelineError } from '../base/errors.js';
import type { SequenceState } from '../cache/state.js';
import type { Drafter, DrafterSource } from '../decode/drafter.js';

export interface TextOptions {
  /** Owned by the text from now on. */
  readonly state: SequenceState;
  /** What may draft for it. */
  readonly drafterSources: readonly DrafterSource[];
}

/** What is known of a text, whose rows have been brought into its state. */
export interface KnownText {
  readonly tokens: readonly number[];
  /** What does not grow with the text. */
  readonly fixed: Uint8Array;
  /** What drafters have observed of it, perhaps a little more; those that are missing start anew. */
  readonly drafters: Readonly<Record<string, Uint8Array>>;
}

export class Text implements Disposable {
  readonly state: SequenceState;
  readonly #sources: readonly DrafterSource[];
  readonly #tokens: number[];
  #drafters: readonly Drafter[] | undefined;
  #disposed = false;
  #cuts = 0;

  /** @param tokens what the state holds already. */
  constructor({ state, drafterSources }: TextOptions, tokens: readonly number[] = []) {
    this.state = state;
    this.#sources = drafterSources;
    this.#tokens = [...tokens];
  }

  /** What the state holds, in order. */
  get tokens(): readonly number[] {
    return this.#tokens;
  }

  /** The drafters, which follow the text from their first use on. @throws {PacelineError} `memory`. */
  get drafters(): readonly Drafter[] {
    this.#drafters ??= allOrNone(this.#sources, (source) => source.open());
    return this.#drafters;
  }

  /** Those that are in use already. */
  get openDrafters(): readonly Drafter[] {
    return this.#drafters ?? [];
  }

  /** Times that tokens were taken away or replaced: whoever saw the text before looks again. */
  get cuts(): number {
    return this.#cuts;
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    return (this.#drafters ?? []).reduce((sum, { bytes }) => sum + bytes, this.state.bytes);
  }

  /** Makes these tokens part of the text: the first rows of a pass, the others of which are undone. */
  commit(tokens: readonly number[]): void {
    this.state.commit(tokens.length);
    for (const token of tokens) this.#tokens.push(token);
  }

  /**
   * Forgets every token from `length` on, and as many more as the state cannot go back without.
   * @returns the tokens that are left.
   * @throws {PacelineError} `usage` beyond the end.
   */
  truncate(length: number): number {
    const { length: had } = this.#tokens;
    if (!Number.isSafeInteger(length) || length < 0 || length > had) {
      throw new PacelineError('usage', `A text of ${had} tokens can't be cut to ${length}`, {
        hint: `Give a whole number from 0 to ${had}.`,
        details: { length, tokens: had },
      });
    }
    const reached = this.state.reachable(length);
    if (reached < had) this.#cuts++;
    this.state.truncate(reached);
    this.#tokens.length = reached;
    for (const drafter of this.#drafters ?? []) {
      if (drafter.length > reached && !drafter.truncate(reached)) drafter.reset();
    }
    return reached;
  }

  /**
   * Keeps the longest prefix that the text has in common with `prompt`, but not all of it: the last
   * token is computed again, since its logits are needed. Returns the number of tokens kept.
   */
  keepPrefix(prompt: ArrayLike<number>): number {
    return this.truncate(Math.min(commonPrefix(this.#tokens, prompt), prompt.length - 1));
  }

  /** An independent copy. @throws {PacelineError} `memory`. */
  fork(): Text {
    const state = this.state.fork();
    try {
      const copy = new Text({ state, drafterSources: this.#sources }, this.#tokens);
      copy.#drafters = this.#drafters && allOrNone(this.#drafters, (drafter) => drafter.fork());
      return copy;
    } catch (error) {
      state.dispose();
      throw error;
    }
  }

  /** What the drafters that read the model's rows have observed, as bytes. */
  saveDrafters(): Record<string, Uint8Array> {
    const { length: end } = this.#tokens;
    const reading = this.openDrafters.filter(
      ({ needs, length }) => length === end && (needs.hidden || needs.taps),
    );
    return Object.fromEntries(reading.map((drafter) => [drafter.name, drafter.snapshot()]));
  }

  /** Goes on with tokens whose blocks the state has taken. @throws as the state's `resume`. */
  resume({ tokens, fixed, drafters }: KnownText): void {
    this.#cuts++;
    this.state.resume(tokens.length, fixed);
    this.#tokens.length = 0;
    for (const token of tokens) this.#tokens.push(token);
    for (const drafter of this.openDrafters) {
      const bytes = drafters[drafter.name];
      if (bytes !== undefined) restoreDrafter(drafter, bytes);
      if (drafter.length > tokens.length && !drafter.truncate(tokens.length)) drafter.reset();
    }
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#cuts++;
    for (const drafter of this.#drafters ?? []) drafter.dispose();
    this.state.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A drafter's state is a help, not a need. */
function restoreDrafter(drafter: Drafter, bytes: Uint8Array): void {
  try {
    drafter.restore(bytes);
  } catch {
    drafter.reset();
  }
}

/** A drafter of each, or none at all. */
function allOrNone<From>(from: readonly From[], make: (one: From) => Drafter): readonly Drafter[] {
  const made: Drafter[] = [];
  try {
    for (const one of from) made.push(make(one));
    return made;
  } catch (error) {
    for (const drafter of made) drafter.dispose();
    throw error;
  }
}

/** Length of the longest common prefix. */
export function commonPrefix(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const limit = Math.min(a.length, b.length);
  let length = 0;
  while (length < limit && a[length] === b[length]) length++;
  return length;
}
