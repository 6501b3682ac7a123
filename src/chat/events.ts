/**
 * What every text is on its way to a dialect: one stream of typed events, the same for all of them.
 * In order: one `start`, any number of `progress`, then for each choice its pieces and one `end`; of
 * several prompts each has these in this order, between those of the others.
 * A stream that fails throws a `PacelineError` instead.
 */
import type { DraftStatistics, Timings } from '../engine/types.js';
import type { TokenOrigin } from './origins.js';

/** The log-probability of one token, with the alternatives that were asked for. */
export interface TokenProbability {
  /** The token's text, with U+FFFD for bytes that are no whole character. */
  readonly text: string;
  readonly bytes: readonly number[];
  readonly logprob: number;
  readonly top: readonly Omit<TokenProbability, 'top'>[];
}

/** Why a text ended. */
export type EndReason = 'stop' | 'stop-text' | 'length' | 'tool-calls';

export interface ChoiceEnd {
  readonly type: 'end';
  readonly choice: number;
  readonly reason: EndReason;
  /** The stop string that ended it, with reason `stop-text`. */
  readonly stopText?: string;
  readonly tokens: number;
  /** How many of the tokens were thought and not answer. */
  readonly reasoningTokens: number;
  readonly seed: number;
  /** What could not be honoured as a whole, in sentences; missing when everything could. */
  readonly warnings?: readonly string[];
  readonly timings: Timings;
  readonly draft: DraftStatistics;
  /**
   * The prompt's counts, on its first text, where another engine told them at its end only; they replace
   * the start's.
   */
  readonly prompt?: Pick<StartEvent, 'promptTokens' | 'cachedTokens'>;
  /** Which engine answered, where it was not the server's own. */
  readonly engine?: string;
}

export interface PrefixMiss {
  /** Tokens that are the same. */
  readonly tokens: number;
  /** Bytes of the prompt that are the same. */
  readonly bytes: number;
  /** What stood there, and what stands there now; a few characters of each. */
  readonly had: string;
  readonly got: string;
}

export type TextEvent =
  | {
      /** The prompt is accepted and fits; nothing of it has been computed yet. */
      readonly type: 'start';
      /** The first choice of the prompt; default 0. */
      readonly choice?: number;
      readonly promptTokens: number;
      /** Prompt tokens that need not be computed. */
      readonly cachedTokens: number;
      /** How many of these were in the slot's memory; the others were read from the disk. */
      readonly inMemory?: number;
      /** The last words of the prefix that need not be computed, where details were asked for. */
      readonly prefixEnd?: string;
      /** Where the prompt first differs from what the nearest slot had computed. */
      readonly missed?: PrefixMiss;
    }
  | {
      readonly type: 'progress';
      /** As that of `start`. */
      readonly choice?: number;
      readonly done: number;
      readonly total: number;
    }
  | {
      readonly type: 'text';
      readonly choice: number;
      readonly text: string;
      readonly logprobs?: readonly TokenProbability[];
      /** The tokens of the text, where details were asked for. */
      readonly origins?: readonly TokenOrigin[];
    }
  | {
      readonly type: 'reasoning';
      readonly choice: number;
      readonly text: string;
      readonly origins?: readonly TokenOrigin[];
    }
  | {
      readonly type: 'tool-start';
      readonly choice: number;
      /** Number of the call within its choice, from 0. */
      readonly index: number;
      readonly id: string;
      readonly name: string;
    }
  | {
      /** A further piece of the arguments' JSON text. */
      readonly type: 'tool-arguments';
      readonly choice: number;
      readonly index: number;
      readonly text: string;
    }
  | { readonly type: 'tool-end'; readonly choice: number; readonly index: number }
  | ChoiceEnd;

export type StartEvent = Extract<TextEvent, { type: 'start' }>;

/** What several prompts are together: all their tokens. */
export function withStart(before: StartEvent | undefined, start: StartEvent): StartEvent {
  if (before === undefined) return start;
  const { promptTokens, cachedTokens } = before;
  return {
    ...before,
    promptTokens: promptTokens + start.promptTokens,
    cachedTokens: cachedTokens + start.cachedTokens,
  };
}

/** The counts of all prompts of a request, as they are known when its texts have ended. */
export function promptCounts(
  start: StartEvent,
  ends: readonly ChoiceEnd[],
): Pick<StartEvent, 'promptTokens' | 'cachedTokens'> {
  const told = ends.flatMap(({ prompt }) => (prompt === undefined ? [] : [prompt]));
  if (told.length === 0) return start;
  return {
    promptTokens: told.reduce((sum, { promptTokens }) => sum + promptTokens, 0),
    cachedTokens: told.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0),
  };
}

/** Whether an event carries something of the text: after it, a request cannot be run again. */
export function isContent(event: TextEvent): boolean {
  return event.type !== 'start' && event.type !== 'progress';
}
