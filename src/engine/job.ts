/**
 * What the scheduler runs: something that has rows for passes until it is done. Types only.
 */
import type { PassNeighbours } from '../decode/drafting.js';
import type { PassRequest, PassRows } from './pass-runner.js';
import type { Text } from './text.js';

/**
 * What a job waits for: `decode` wants its few rows in the very next pass; `prefill` takes what room
 * there is; `rest`: it has said more than was read, or its state is being copied; `done` never comes
 * back.
 */
export type JobNeed = 'decode' | 'prefill' | 'rest' | 'done';

export interface Job {
  /** No two jobs may have the same one at a time. */
  readonly text: Text;
  /** Jobs with more come first where not all can; 0 is usual. */
  readonly priority: number;
  /** When its first token is wanted, as `performance.now()` counts; Infinity: whenever it comes. */
  readonly deadline: number;
  /** Fires when the job shall end. */
  readonly signal: AbortSignal;
  /** Fires it. */
  abort(): void;
  readonly need: JobNeed;
  /** Whether its next pass must have its rows only. */
  readonly alone?: boolean;
  /** Prompt tokens that are still to be computed. */
  readonly promptLeft: number;
  /** Called once, when the job's first pass is near; `wake` tells the scheduler of a changed need. */
  start(wake: () => void): void;
  /** Decides on the rows of the next pass of a job that decodes, and says how many they are. */
  draft(neighbours: PassNeighbours): Promise<number>;
  /** The rows for a pass; of a prefill at most `room` of them. */
  take(room: number): Omit<PassRequest, 'state'>;
  /** Takes what the pass gave, and says which rows stay: commits them to the text. */
  settle(outcome: PassOutcome): void;
  /** Ends the job; an `aborted` error is its usual end after `signal`. */
  fail(error: unknown): void;
}

/** What a pass gave a job. */
export interface PassOutcome extends PassRows {
  /** Duration of the pass, as far as it was for the rows of jobs that decode; in milliseconds. */
  readonly passMs: number;
  /** Rows of other jobs that decode. */
  readonly otherRows: number;
  /** Whether the pass had nobody else's rows. */
  readonly alone: boolean;
}
