/** What the draft controller measured, tried and chose, for results and pages. Types only. */

export interface DraftReport {
  /** Times of a target pass by rows, milliseconds. */
  readonly passMs: Readonly<Record<string, number>>;
  readonly plainSteps: number;
  /** Steps that promised a gain but were not covered by the account. */
  readonly refusedSteps: number;
  /** Balance of the account, in plain tokens' time. */
  readonly balance: number;
  readonly drafters: readonly {
    readonly name: string;
    readonly steps: number;
    readonly trials: number;
    readonly drafted: number;
    readonly accepted: number;
    /** Estimated share of right guesses by position, given that those before were right. */
    readonly acceptance: readonly number[];
    readonly draftMs: Readonly<Record<string, number>>;
  }[];
  /** The last changes of mind, oldest first. */
  readonly changes: readonly DraftChange[];
}

export interface DraftChange {
  /** Tokens generated before it. */
  readonly token: number;
  readonly choice: string;
  readonly why: string;
}
