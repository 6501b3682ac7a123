/** What the draft controller is told and what it says. Types only. */
import type { Proposal } from './drafter.js';

export interface PlanInput {
  /** The most guesses of use here (token limit, context). */
  readonly limit: number;
  /** Proposals in hand of the drafters named by `askFirst`. */
  readonly offers?: ReadonlyMap<string, Proposal>;
  /** Rows, and tokens they are sure to give, of other texts in the same pass. */
  readonly otherRows?: number | undefined;
  readonly otherTokens?: number | undefined;
}

export interface Plan {
  /** Undefined: no draft in this step. */
  readonly drafter: string | undefined;
  /** How many guesses to ask for, or to use of the offer. */
  readonly count: number;
  readonly why: 'best' | 'stretch' | 'trial' | 'measuring' | 'plain' | 'account';
}

export interface StepResult {
  /** The drafter whose guesses were in the pass, and how many; undefined and 0 for none. */
  readonly drafter: string | undefined;
  readonly drafted: number;
  readonly accepted: number;
  /** Chosen tokens: accepted + 1, or fewer where the text ended. */
  readonly emitted: readonly number[];
  /**
   * Duration of the target's pass, as far as it was for texts that decode. Who runs the passes notes
   * it in `passes` afterwards, once for all texts that shared it.
   */
  readonly passMs: number;
  /** Rows of other texts in the same pass. */
  readonly otherRows?: number | undefined;
  /** Everything that was proposed, also where it was not used: free evidence. */
  readonly proposals: ReadonlyMap<string, Proposal>;
  /** Duration of all proposals of this step together. */
  readonly draftMs: number;
}
