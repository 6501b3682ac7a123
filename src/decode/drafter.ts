/**
 * What a drafter is: it sees a text and what the target model computed for it, and guesses how the
 * text goes on. A guess costs time when it is wrong and never changes the text.
 *
 * The course of one step, for a sequence whose tokens t_0..t_n are known and whose t_n the target
 * has not run yet:
 * 1. `propose` guesses tokens for positions n+1, n+2, ...
 * 2. The target runs [t_n, guesses] in one pass; accept.ts decides how many guesses are right.
 * 3. `observe` tells every drafter of the sequence the tokens that the target has run and that
 *    belong to the text (t_n and the right guesses, never a wrong one), with the rows of hidden
 *    states it asked for. A prefill chunk is observed in the same way.
 *
 * `observe` only keeps what it needs; whatever is expensive (injecting features into a draft
 * model's own cache) waits for the next `propose`, so that reading a prompt is not slowed down.
 */
import type { SequenceTensors } from '../models/model.js';
import type { Chooser } from './chooser.js';
import type { FeatureRows } from './feature-rows.js';

/** What a drafter wants to be shown of the target's passes. Nothing at all when it is empty. */
export interface DrafterNeeds {
  /** The rows that enter the output matrix: the last hidden state after the output norm. */
  readonly hidden?: boolean;
  /**
   * Residual streams, concatenated in this order, counted as draft GGUFs do: index i is the input
   * of layer i, and the number of layers is the output of the last layer (before the norm).
   */
  readonly taps?: readonly number[];
  /** Rows of more than this many tokens ago are never read, and need not be copied. */
  readonly window?: number;
  /**
   * Hidden states of more than this many tokens before the end of a prompt are not worth what they
   * cost: without them, most of the last layer is computed for one row only. Default: `window`.
   */
  readonly hiddenRows?: number;
}

/** Tokens that the target has run and that are part of the text. */
export interface Observation {
  /** Position of the first token; equals the drafter's `length`. */
  readonly position: number;
  readonly tokens: ArrayLike<number>;
  /** Missing where they are unknown (rows that came back from a cache without the drafter's). */
  readonly hidden?: FeatureRows;
  readonly taps?: FeatureRows;
}

export interface DraftContext {
  /**
   * Of the text t_0..t_n, the last of which the target has not run. A drafter with logits asks a fork
   * of it: it agrees more often when it chooses as the target will.
   */
  readonly chooser: Chooser;
  /** At most so many guesses are of use. */
  readonly limit: number;
  /**
   * What the target keeps of t_0..t_{n-1}, for drafters that attend over it: they write nothing, and
   * hold on to it no longer than they guess.
   */
  readonly state?: SequenceTensors | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Proposal {
  /** At most `limit`; may be empty. */
  readonly tokens: readonly number[];
  /**
   * For each token how sure the drafter is that it follows if those before it do, 0 to 1. Need not
   * be calibrated (the controller learns what it is worth), only ordered.
   */
  readonly confidence?: readonly number[];
}

/**
 * A drafter of one sequence. What it observed can be truncated (or it says that it cannot), saved,
 * restored and forked together with the target's own state.
 */
export interface Drafter {
  /** `ngram`, `mtp`, `dflash`, ... as the command line calls it. */
  readonly name: string;
  readonly needs: DrafterNeeds;
  /** The most guesses that `propose` ever returns. */
  readonly maxDrafts: number;
  /** Tokens observed; the next one gets this position. */
  readonly length: number;
  /** Memory held, in bytes. */
  readonly bytes: number;
  /** How many of the last observed tokens came with the rows it needs; for those that need some. */
  readonly knownRows?: number;
  /**
   * Takes note of tokens. Synchronous and cheap.
   * @throws {PacelineError} `internal` when `position` is not `length`, or rows have a wrong width.
   */
  observe(observation: Observation): void;
  /**
   * Guesses. Asking twice gives the same answer: a guess leaves no trace in what was observed.
   * The caller has observed exactly t_0..t_{n-1}.
   * @throws {PacelineError} `aborted`.
   */
  propose(context: DraftContext): Proposal | Promise<Proposal>;
  /**
   * Forgets every token at position `length` and after. Returns false, and changes nothing, when it
   * can't go back that far; the caller then starts it over.
   */
  truncate(length: number): boolean;
  /** What it observed as bytes that `restore` of a fresh drafter of the same model takes back. */
  snapshot(): Uint8Array;
  /** @throws {PacelineError} `broken-file` when the bytes are of another drafter or damaged. */
  restore(bytes: Uint8Array): void;
  /** Forgets everything: the state of a new sequence. */
  reset(): void;
  /** An independent copy for a fork of the sequence. */
  fork(): Drafter;
  dispose(): void;
}

/** A drafter's shared part (its weights), which opens one drafter for each sequence. */
export interface DrafterSource {
  readonly name: string;
  readonly needs: DrafterNeeds;
  readonly maxDrafts: number;
  open(): Drafter;
}

/** The needs of several drafters of one sequence as one: every row that any of them reads. */
export function joinNeeds(all: readonly DrafterNeeds[]): DrafterNeeds {
  const wanting = all.filter((needs) => needs.hidden === true || needs.taps !== undefined);
  const taps = wanting.map((needs) => needs.taps).filter((list) => list !== undefined);
  const first = taps[0];
  const union =
    first === undefined || taps.every((list) => list.join() === first.join())
      ? first
      : [...new Set(taps.flat())].sort((a, b) => a - b);
  const windows = wanting.map((needs) => needs.window ?? Infinity);
  const window = windows.length === 0 ? 0 : Math.max(...windows);
  const hiddenRows = Math.max(
    0,
    ...wanting
      .filter((needs) => needs.hidden === true)
      .map((needs) => needs.hiddenRows ?? needs.window ?? Infinity),
  );
  return {
    ...(wanting.some((needs) => needs.hidden === true) ? { hidden: true } : {}),
    ...(union === undefined ? {} : { taps: union }),
    ...(window === Infinity ? {} : { window }),
    ...(hiddenRows > 0 && hiddenRows < window ? { hiddenRows } : {}),
  };
}
