/** JSON text as a template's value, and the error for what no template can read. */
import { PacelineError } from '../base/errors.js';
import { Fault } from './faults.js';
import { parseJson } from './json.js';
import type { Value } from './values.js';

/** @throws {PacelineError} `usage`, naming the variable `where`. */
export function parseRaw(text: string, where: string): Value {
  try {
    return parseJson(text);
  } catch (error) {
    if (error instanceof Fault) return fail(`is no JSON: ${error.message}`, where);
    throw error;
  }
}

/** @throws {PacelineError} `usage`, always. */
export function fail(what: string, where: string): never {
  throw new PacelineError('usage', `The template's variable ${where} ${what}`, {
    hint: 'Give texts, numbers, booleans, null, arrays, Maps and plain objects.',
    details: { variable: where },
  });
}
