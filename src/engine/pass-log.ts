/**
 * The last passes of a model, for whoever wants to see how its texts share them. Bounded; costs a few
 * objects a pass. Knows nothing of what the rows were for beyond their kind.
 */
import type { Text } from './text.js';

/** What one text had in a pass. */
export interface LoggedPart {
  /** The same for all passes of one text; counts from 1. */
  readonly text: number;
  readonly kind: 'prefill' | 'decode';
  readonly rows: number;
  /** Rows that became part of the text: not those of wrong guesses. */
  readonly kept: number;
}

export interface LoggedPass {
  /** Counts from 1 without gaps, so that a reader knows what it has missed. */
  readonly number: number;
  /** When it ended, in milliseconds since 1970. */
  readonly endedAt: number;
  readonly ms: number;
  readonly parts: readonly LoggedPart[];
}

const mostPasses = 600;

export class PassLog {
  readonly #passes: LoggedPass[] = [];
  readonly #texts = new WeakMap<Text, number>();
  #texted = 0;
  #count = 0;

  record(
    ms: number,
    parts: readonly (Omit<LoggedPart, 'text'> & { readonly text: Text })[],
    endedAt = Date.now(),
  ): void {
    const numbered = parts.map(({ text, ...part }) => ({ ...part, text: this.#numberOf(text) }));
    this.#passes.push({ number: ++this.#count, endedAt, ms, parts: numbered });
    if (this.#passes.length > mostPasses) this.#passes.shift();
  }

  /** Passes after this number, oldest first; 0 gives all that are still known. */
  since(number: number): readonly LoggedPass[] {
    return this.#passes.filter((pass) => pass.number > number);
  }

  #numberOf(text: Text): number {
    let number = this.#texts.get(text);
    if (number === undefined) {
      number = ++this.#texted;
      this.#texts.set(text, number);
    }
    return number;
  }
}
