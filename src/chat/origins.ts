/**
 * Where each piece of a shown text came from: which token it belongs to, which drafter had guessed
 * that token, and which guess was wrong in its place. Marks and stop strings that are taken out of the
 * text are skipped. Knows nothing of models.
 */

/** One token of a shown text. */
export interface TokenOrigin {
  /** UTF-16 units of the event's text that the token gave; 0 where its character is not complete. */
  readonly length: number;
  /** The drafter that had guessed it; missing: the model alone chose it. */
  readonly drafter?: string;
  /** On the first token of a pass: how many tokens had been guessed for it. */
  readonly guesses?: number;
  /** The guess that was wrong in its place. */
  readonly wrong?: WrongGuess;
}

export interface WrongGuess {
  readonly drafter: string;
  readonly text: string;
}

type Source = Omit<TokenOrigin, 'length'>;

interface Pending {
  readonly text: string;
  readonly source: Source;
}

export class OriginTracker {
  /** Tokens whose text has not been shown as a whole. */
  #pending: Pending[] = [];

  /** Adds a token, with the text that became certain by it. */
  push(text: string, source: Source): void {
    this.#pending.push({ text, source });
  }

  /** The tokens of the piece that is shown now; what came before it was not meant to be seen. */
  take(shown: string): readonly TokenOrigin[] {
    const raw = this.#pending.map(({ text }) => text).join('');
    const start = raw.indexOf(shown);
    if (start < 0) {
      const last = this.#pending.at(-1)?.source ?? {};
      this.#pending = [];
      return [{ length: shown.length, ...last }];
    }
    const end = start + shown.length;
    const taken: TokenOrigin[] = [];
    const rest: Pending[] = [];
    let at = 0;
    for (const { text, source } of this.#pending) {
      const [from, to] = [at, at + text.length];
      at = to;
      const length = Math.min(to, end) - Math.max(from, start);
      if (length > 0 || (text === '' && from >= start && to <= end)) {
        taken.push({ length, ...source });
      }
      if (to > end) rest.push({ text: text.slice(Math.max(0, end - from)), source });
    }
    this.#pending = rest;
    return taken;
  }
}
