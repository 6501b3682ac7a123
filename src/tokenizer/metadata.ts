/**
 * What a tokenizer needs from a model file: typed lookups by key. `GgufFile` satisfies it; a test
 * can use a plain object through `metadataFromRecord`. Knows no key.
 */
import { PacelineError } from '../base/errors.js';

/** Typed lookups of metadata. Each returns undefined when the key is absent. */
export interface TokenizerMetadata {
  optionalString(key: string): string | undefined;
  optionalNumber(key: string): number | undefined;
  optionalBoolean(key: string): boolean | undefined;
  optionalStringArray(key: string): readonly string[] | undefined;
  optionalNumberArray(key: string): ArrayLike<number> | undefined;
}

export type MetadataRecord = Readonly<
  Record<string, string | number | boolean | readonly string[] | ArrayLike<number> | undefined>
>;

function lookup<T>(
  record: MetadataRecord,
  key: string,
  what: string,
  is: (value: unknown) => value is T,
): T | undefined {
  const value: unknown = record[key];
  if (value === undefined) return undefined;
  if (is(value)) return value;
  throw new PacelineError('broken-file', `Metadata key '${key}' is not ${what}`, {
    details: { key },
  });
}

const isStrings = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');
const isNumbers = (value: unknown): value is ArrayLike<number> =>
  ArrayBuffer.isView(value) ||
  (Array.isArray(value) && value.every((item) => typeof item === 'number'));

/** Metadata from a plain object whose keys are those of a GGUF file. */
export function metadataFromRecord(record: MetadataRecord): TokenizerMetadata {
  return {
    optionalString: (key) =>
      lookup(record, key, 'a string', (value): value is string => typeof value === 'string'),
    optionalNumber: (key) =>
      lookup(record, key, 'a number', (value): value is number => typeof value === 'number'),
    optionalBoolean: (key) =>
      lookup(record, key, 'a boolean', (value): value is boolean => typeof value === 'boolean'),
    optionalStringArray: (key) => lookup(record, key, 'an array of strings', isStrings),
    optionalNumberArray: (key) => lookup(record, key, 'an array of numbers', isNumbers),
  };
}
