/**
 * Chooses the tokens of one text: sampling settings, what was said before, and perhaps a constraint,
 * in one object that can be forked. Whoever has to know what the text would say next (the loop that
 * checks guesses, drafters that sample) asks a chooser or a fork of it, so that a grammar's mask or
 * a penalty holds for all of them alike.
 *
 * A choice is a pure function of (row, tokens so far, settings, constraint). Knows no model.
 */
import { PacelineError } from '../base/errors.js';
import type { Constraint } from '../constraint/constraint.js';
import { TokenHistory } from './history.js';
import { type SampledToken, sampleToken } from './sampler.js';
import type { SamplingSettings } from './sampling-settings.js';
import { isSure } from './sure.js';
import { isTopSure, sampleTop, topNeeded } from './top-choice.js';
import { type Logits, TopRow } from './top-row.js';

export interface ChooserOptions {
  readonly settings: SamplingSettings;
  /** Tokens before the first choice. */
  readonly tokens: ArrayLike<number>;
  /** The language of what is chosen; owned by the chooser from now on. */
  readonly constraint?: Constraint | undefined;
}

export class Chooser {
  readonly settings: SamplingSettings;
  readonly #history: TokenHistory;
  readonly #constraint: Constraint | undefined;

  constructor({ settings, tokens, constraint }: ChooserOptions) {
    this.settings = settings;
    this.#history = new TokenHistory(tokens);
    this.#constraint = constraint;
  }

  /** All tokens so far, without a copy; valid until the next `accept`. */
  get tokens(): Int32Array {
    return this.#history.view();
  }

  /** Tokens so far; the position of the next one. */
  get length(): number {
    return this.#history.length;
  }

  /** The last token; -1 when there is none. */
  get last(): number {
    return this.#history.last;
  }

  /**
   * How many of a row's largest logits most likely tell the choice; undefined: only the whole row does.
   * A constraint may allow none of them.
   */
  get topNeeded(): number | undefined {
    return this.#constraint === undefined ? topNeeded(this.settings) : undefined;
  }

  /**
   * The next token, from the row of logits that the model gave for it; not yet part of the text. Of a row
   * of which the largest are here it is the same, and the others are read if that takes them.
   * @throws {PacelineError} `bad-weights` at NaN or +Infinity; `usage` if nothing can be chosen.
   */
  choose(row: Logits): SampledToken {
    const context = this.#context();
    if (!(row instanceof TopRow)) return sampleToken(row, context);
    const token = sampleTop(row, context);
    return token === undefined ? sampleToken(row.whole(), context) : { token };
  }

  /**
   * Whether the choice stays the same if each logit is off by `bound` at most; see `isSure`.
   * @throws as `choose`.
   */
  isSure(row: Logits, bound: number): boolean {
    const context = this.#context();
    if (!(row instanceof TopRow)) return isSure(row, context, bound);
    return isTopSure(row, context, bound) ?? isSure(row.whole(), context, bound);
  }

  #context() {
    return {
      position: this.#history.length,
      history: this.#history.view(),
      settings: this.settings,
      mask: this.#constraint?.mask(),
    };
  }

  /** The same for who looks ahead: undefined where nothing can be chosen, as behind a whole text. */
  guess(logits: Logits): number | undefined {
    try {
      return this.choose(logits).token;
    } catch (error) {
      if (PacelineError.is(error) && error.code === 'usage') return undefined;
      throw error;
    }
  }

  /** Makes a token part of the text: one that was chosen here, or in a fork. */
  accept(token: number): void {
    this.#history.push(token);
    this.#constraint?.accept(token);
  }

  /** How many of these tokens could come next, one after the other. */
  allowed(tokens: readonly number[]): number {
    if (this.#constraint === undefined) return tokens.length;
    const ahead = this.#constraint.fork();
    for (const [index, token] of tokens.entries()) {
      if (!ahead.allows(token)) return index;
      if (index + 1 < tokens.length) ahead.accept(token);
    }
    return tokens.length;
  }

  /** Tokens that come next whatever the model says, at most `limit`. */
  forced(limit: number): readonly number[] {
    return limit > 0 ? (this.#constraint?.forced(limit) ?? []) : [];
  }

  /** Tokens that most likely come next, where the text is fixed but not its cut; at most `limit`. */
  likely(limit: number): readonly number[] {
    return limit > 0 ? (this.#constraint?.likely?.(limit) ?? []) : [];
  }

  /** An independent copy, for who looks ahead; without log-probabilities, which are for the text. */
  fork(): Chooser {
    return new Chooser({
      settings: { ...this.settings, logprobs: 0 },
      tokens: this.#history.view(),
      constraint: this.#constraint?.fork(),
    });
  }
}
