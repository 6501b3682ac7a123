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
  /** Derivatives computed for one mask. Default 400,000. */
  readonly maskSteps: number;
  /** Derivatives computed to decide whether a conjunction has any text. Default 400,000. */
  readonly search: number;
  /** How deep a text may nest: objects and arrays, or rules of a grammar inside each other. Default 200. */
  readonly nesting: number;
  /** Rules and merged schemas of one constraint. Default 50,000. */
  readonly rules: number;
}

export const defaultLimits: Limits = {
  expressions: 3_000_000,
  members: 20_000,
  maskSteps: 400_000,
  search: 400_000,
  nesting: 200,
  rules: 50_000,
};

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
