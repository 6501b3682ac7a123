/**
 * Options that callers pass, checked against schemas: what is wrong is a `usage` error that names the
 * option, says what it takes and what was given. A schema's fields carry their own words for that.
 */
import { z } from 'zod';
import { PacelineError } from './errors.js';

/** An optional field; `say` ends the sentence "Option x must be …". */
export function field<T extends z.ZodType>(schema: T, say: string) {
  return schema.optional().describe(say);
}

/** A whole number from `least` on. */
export function wholeNumber(least: number, say: string, most: number = Number.MAX_SAFE_INTEGER) {
  return field(z.number().int().min(least).max(most), say);
}

/** A function, unchecked but for being one. */
export function callback<T>(say: string) {
  return field(
    z.custom<T>((value) => typeof value === 'function'),
    say,
  );
}

/** An `AbortSignal`, of whichever copy of the class. */
export const abortSignal = field(
  z.custom<AbortSignal>(
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      'aborted' in value &&
      'addEventListener' in value,
  ),
  'an AbortSignal',
);

/**
 * The options, checked.
 * @param subject whose options they are: `loadModel`, `generate`.
 * @throws {PacelineError} `usage`; `details.field` names the option.
 */
export function checkOptions<T extends z.ZodObject>(
  schema: T,
  given: unknown,
  subject: string,
): z.output<T> {
  if (given === undefined) return checkOptions(schema, {}, subject);
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new PacelineError(
      'usage',
      `The options of ${subject} must be an object, not ${show(given)}`,
      {
        hint: `Leave them out, or give an object with some of ${list(Object.keys(schema.shape))}.`,
      },
    );
  }
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue?.code === 'unrecognized_keys') throw unknownOption(issue.keys, schema, subject);
  const name = String(issue?.path[0] ?? '');
  const value = (given as Readonly<Record<string, unknown>>)[name];
  const say = schema.shape[name]?.meta()?.description ?? issue?.message ?? 'something else';
  throw wrongOption(name, say, value);
}

/** The error for an option with a value that it cannot have. */
export function wrongOption(name: string, say: string, value: unknown): PacelineError {
  return new PacelineError('usage', `Option ${name} must be ${say}, not ${show(value)}`, {
    hint: `Give ${name} as ${say}.`,
    details: { field: name, value: show(value) },
  });
}

function unknownOption(
  keys: readonly string[],
  schema: z.ZodObject,
  subject: string,
): PacelineError {
  const known = Object.keys(schema.shape);
  const [key = ''] = keys;
  const near = nearest(key, known);
  return new PacelineError('usage', `${subject} has no option ${key}`, {
    hint: near === undefined ? `It has ${list(known)}.` : `Did you mean ${near}?`,
    details: { field: key, known },
  });
}

/** A value as an error may show it: short, whatever it is. */
export function show(value: unknown): string {
  if (typeof value === 'string') return shorten(JSON.stringify(value));
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'symbol') return value.toString();
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'object' && value !== null) {
    const name = Object.getPrototypeOf(value)?.constructor?.name;
    return name === undefined || name === 'Object' ? 'an object' : `a ${name}`;
  }
  return String(value);
}

function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}

function list(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

/** The candidate that a typing mistake most likely meant; undefined when none is near. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Insertions, removals and changes of characters (Levenshtein 1966). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
