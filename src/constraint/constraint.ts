/**
 * A language that a text has to stay in, one token at a time: what a JSON schema, a regular
 * expression or a grammar is to whoever chooses tokens. A constraint knows tokens by id only; which
 * text a token stands for was settled when the constraint was made for a vocabulary.
 */

/** One bit a token: token t is allowed when bit (t & 31) of word (t >> 5) is set. */
export type TokenMask = Uint32Array;

/** The state of one text. It only goes forward: who may have to go back forks it first. */
export interface Constraint {
  /**
   * The tokens that may come next, those that end the text among them where it may end here;
   * undefined: every token. Owned by the constraint and valid until it is used again.
   * @throws {PacelineError} `memory` when a budget is exhausted.
   */
  mask(): TokenMask | undefined;
  /** Whether one token may come next; cheaper than a mask. */
  allows(token: number): boolean;
  /** Takes the next token. @throws {PacelineError} `internal` when it is not allowed. */
  accept(token: number): void;
  /**
   * The tokens that come next whatever the model says, as far as every step has one choice only; at
   * most `limit`. Drafts made of them are always right.
   */
  forced(limit: number): readonly number[];
  /**
   * The tokens that most likely come next, where the text is fixed and only its cut into tokens is
   * open; at most `limit`. They are allowed, so that they are good drafts, but no more than that.
   */
  likely?(limit: number): readonly number[];
  /** An independent copy; cheap, since every draft asks for one. */
  fork(): Constraint;
}

/** Whether a mask allows a token. */
export function maskAllows(mask: TokenMask, token: number): boolean {
  return (((mask[token >>> 5] ?? 0) >>> (token & 31)) & 1) === 1;
}
