/**
 * The limits that keep what strangers send bounded in time and memory, and the two errors that say
 * one was reached. Knows nothing of languages or tokens.
 */
import { PacelineError } from '../../base/errors.js';

export interface Limits {
  /** Distinct expressions of one compiled constraint: its states and their parts. Default 3,000,000. */
  readonly expressions: number;
  /** Members of one choice or conjunction. Default 20,000. */
  readonly members: number;
  /**
   * Steps of compiling one constraint: about a microsecond each, in which nothing else happens.
   * Default: `compilingSteps` of its description.
   */
  readonly compiling: number;
  /** Steps of one question about a text, such as what may come next. Default 150,000. */
  readonly question: number;
  /** Derivatives computed to decide whether a conjunction has any text. Default 50,000. */
  readonly search: number;
  /** How deep a text may nest: objects and arrays, or rules of a grammar inside each other. Default 200. */
  readonly nesting: number;
  /** Rules and merged schemas of one constraint. Default 50,000. */
  readonly rules: number;
}

export const defaultLimits: Omit<Limits, 'compiling'> = {
  expressions: 3_000_000,
  members: 20_000,
  question: 150_000,
  search: 50_000,
  nesting: 200,
  rules: 50_000,
};

/** Steps that are left to what runs now. Compiling and masks are synchronous, so one count suffices. */
let left = Number.POSITIVE_INFINITY;
let problem = () => tooComplex('');

/** Runs with so many steps; inside another such call, with what that one has left. */
export function withWork<T>(steps: number, exceeded: () => PacelineError, run: () => T): T {
  if (left < Number.POSITIVE_INFINITY) return run();
  left = steps;
  problem = exceeded;
  try {
    return run();
  } finally {
    left = Number.POSITIVE_INFINITY;
  }
}

/** Counts steps, before they are made where they are many. @throws what `withWork` was given */
export function work(steps = 1): void {
  left -= steps;
  if (left < 0) throw problem();
}

/**
 * Steps of compiling a description of so many characters. A small one gets 100,000, ten times what
 * ordinary schemas need; 128 tools with ten parameters each, which are 250,000 characters, need as much.
 */
export function compilingSteps(characters: number): number {
  return Math.min(500_000, 100_000 + Math.ceil(characters / 2));
}

/** A budget that compiling exhausts: the caller's constraint is too large. */
export function tooComplex(what: string, details: Readonly<Record<string, unknown>> = {}) {
  return new PacelineError('usage', `The constraint is too complex: ${what}`, {
    hint: 'Use a smaller schema or grammar: fewer alternatives, shorter counted repeats.',
    details,
  });
}

/** A budget that is exhausted while a text is being generated. */
export function exhausted(what: string, details: Readonly<Record<string, unknown>> = {}) {
  return new PacelineError('memory', `The constraint needs too much work: ${what}`, {
    hint: 'Use a simpler pattern or grammar, or a shorter text.',
    details,
  });
}

/** What a caller wrote is wrong or not supported. */
export function refused(
  message: string,
  details: Readonly<Record<string, unknown>>,
  hint = 'Change the constraint, or leave this part out.',
): PacelineError {
  return new PacelineError('usage', message, { hint, details });
}
