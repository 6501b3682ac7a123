/**
 * When a text ends, and which characters may be shown already.
 *
 * `StopText` holds back the longest suffix that may still become a stop string, so that no part of
 * one is ever shown, however the text was cut into pieces. `Finish` joins it with end-of-generation
 * tokens and the token limit. Knows nothing of tokenizers: it is given a function from token to
 * text.
 */
import { PacelineError } from '../base/errors.js';

/** Why a text ended: at its natural end or a stop string, at the limit, or by the caller. */
export type FinishReason = 'stop' | 'length' | 'abort';

export interface StopPiece {
  /** Text that may be shown now. */
  readonly text: string;
  /** The stop string that was found; it and what follows it are dropped. */
  readonly stop?: string;
}

/**
 * Finds stop strings in text that comes in pieces. The stop string that is complete first ends the
 * text; of several that are complete at the same character, the longest. So the result does not
 * depend on where the pieces were cut.
 */
export class StopText {
  readonly #stops: readonly string[];
  #held = '';
  #stopped = false;

  /** @throws {PacelineError} `usage` at an empty stop string. */
  constructor(stops: readonly string[]) {
    if (stops.some((stop) => typeof stop !== 'string' || stop === '')) {
      throw new PacelineError('usage', 'A stop string must be text of at least one character', {
        hint: 'Leave out empty stop strings.',
        details: { field: 'stop' },
      });
    }
    this.#stops = [...new Set(stops)];
  }

  /** Takes the next piece. After a stop was found all further text is dropped. */
  push(piece: string): StopPiece {
    if (this.#stopped) return { text: '' };
    if (this.#stops.length === 0) return { text: piece };
    const text = this.#held + piece;
    let end = Number.POSITIVE_INFINITY;
    let found: string | undefined;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at < 0) continue;
      const stopEnd = at + stop.length;
      if (stopEnd < end || (stopEnd === end && stop.length > (found?.length ?? 0))) {
        end = stopEnd;
        found = stop;
      }
    }
    if (found !== undefined) {
      this.#stopped = true;
      this.#held = '';
      return { text: text.slice(0, end - found.length), stop: found };
    }
    const hold = this.#undecided(text);
    this.#held = text.slice(text.length - hold);
    return { text: text.slice(0, text.length - hold) };
  }

  /** The end of the text: what was held back after all is no stop string. */
  flush(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }

  /** Length of the longest suffix that begins a stop string. */
  #undecided(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let size = Math.min(stop.length - 1, text.length); size > longest; size--) {
        if (text.endsWith(stop.slice(0, size))) {
          longest = size;
          break;
        }
      }
    }
    return longest;
  }
}

export interface FinishOptions {
  /** Tokens that end the text and are not part of it; an empty set never ends by itself. */
  readonly endTokens: ReadonlySet<number>;
  /** The text has at most this many tokens; Infinity for no limit. */
  readonly maxTokens: number;
  readonly stop?: readonly string[];
  /** Streaming detokenizer: the whole characters that this token completes. */
  readonly toText: (token: number) => string;
  /** What the detokenizer still holds at the end (bytes of a broken character). */
  readonly flushText?: () => string;
}

export interface FinishStep {
  /** Text that may be shown now; includes everything held back if the text ends here. */
  readonly text: string;
  /** False for an end token: it is not part of the text. */
  readonly keep: boolean;
  readonly finish?: 'stop' | 'length';
  /** The stop string that ended the text. */
  readonly stop?: string;
}

/**
 * Decides after each token whether the text goes on. `push` must see every chosen token in order,
 * once; after a finish nothing more may be pushed.
 */
export class Finish {
  readonly #options: FinishOptions;
  readonly #stopText: StopText;
  #tokens = 0;
  #finished = false;

  /** @throws {PacelineError} `usage` at an empty stop string or a limit that is no count. */
  constructor(options: FinishOptions) {
    const { maxTokens } = options;
    if (!(maxTokens >= 0) || (maxTokens !== Infinity && !Number.isInteger(maxTokens))) {
      throw new PacelineError('usage', `The token limit must be a whole number, not ${maxTokens}`, {
        details: { field: 'maxTokens' },
      });
    }
    this.#options = options;
    this.#stopText = new StopText(options.stop ?? []);
  }

  /** How many tokens may still be chosen. */
  get remaining(): number {
    return this.#finished ? 0 : this.#options.maxTokens - this.#tokens;
  }

  /** Takes the next token of the text. An end token counts towards the limit, like any other. */
  push(token: number): FinishStep {
    if (this.remaining <= 0) {
      throw new PacelineError('internal', 'A token was chosen after the end of the text');
    }
    this.#tokens += 1;
    if (this.#options.endTokens.has(token)) {
      return { text: this.flush(), keep: false, finish: 'stop' };
    }
    const piece = this.#stopText.push(this.#options.toText(token));
    if (piece.stop !== undefined) {
      this.#finished = true;
      return { text: piece.text, keep: true, finish: 'stop', stop: piece.stop };
    }
    if (this.remaining > 0) return { text: piece.text, keep: true };
    return this.#atLimit(piece.text);
  }

  /** Everything held back, for a text that ends without `push` saying so (an abort). */
  flush(): string {
    if (this.#finished) return '';
    this.#finished = true;
    const rest = this.#stopText.push(this.#options.flushText?.() ?? '');
    return rest.text + (rest.stop === undefined ? this.#stopText.flush() : '');
  }

  #atLimit(shown: string): FinishStep {
    return { text: shown + this.flush(), keep: true, finish: 'length' };
  }
}
