/**
 * Typed access to GGUF metadata. A getter returns a value of the asked kind or an error that names
 * the key, what it holds and the file; nothing is converted silently. Numeric getters take every
 * integer or float width, because writers differ in the widths they choose.
 */
import { PacelineError } from '../base/errors.js';
import { shown } from './cursor.js';
import { type GgufMetadataEntry, GgufValueType, valueTypeName } from './types.js';

export class GgufMetadata {
  readonly metadata: ReadonlyMap<string, GgufMetadataEntry>;
  /** Path of the file, or what else messages call it. */
  readonly label: string;

  constructor(file: string, metadata: ReadonlyMap<string, GgufMetadataEntry>) {
    this.label = file;
    this.metadata = metadata;
  }

  has(key: string): boolean {
    return this.metadata.has(key);
  }

  /** @throws {PacelineError} `broken-file` when the key is absent or not a string; so do all below. */
  string(key: string): string {
    return this.#present(key, this.optionalString(key));
  }

  optionalString(key: string): string | undefined {
    const entry = this.metadata.get(key);
    if (entry === undefined) return undefined;
    if (entry.type !== GgufValueType.STRING) throw this.#wrong(key, entry, 'a string');
    return entry.value;
  }

  /** A number of any width; a 64-bit integer must be within 2^53. */
  number(key: string): number {
    return this.#present(key, this.optionalNumber(key));
  }

  optionalNumber(key: string): number | undefined {
    const entry = this.metadata.get(key);
    if (entry === undefined) return undefined;
    if (typeof entry.value !== 'number') throw this.#wrong(key, entry, 'a number');
    return entry.value;
  }

  /** An integer from `least` to `most`; the way to read counts and sizes. */
  integer(key: string, range?: IntegerRange): number {
    return this.#present(key, this.optionalInteger(key, range));
  }

  optionalInteger(key: string, { least = 0, most = 2 ** 31 - 1 }: IntegerRange = {}) {
    const value = this.optionalNumber(key);
    if (value === undefined) return undefined;
    if (!Number.isInteger(value) || value < least || value > most) {
      throw this.#error(key, `is ${value}, expected an integer from ${least} to ${most}`);
    }
    return value;
  }

  boolean(key: string): boolean {
    return this.#present(key, this.optionalBoolean(key));
  }

  optionalBoolean(key: string): boolean | undefined {
    const entry = this.metadata.get(key);
    if (entry === undefined) return undefined;
    if (entry.type !== GgufValueType.BOOL) throw this.#wrong(key, entry, 'a boolean');
    return entry.value;
  }

  stringArray(key: string): readonly string[] {
    return this.#present(key, this.optionalStringArray(key));
  }

  optionalStringArray(key: string): readonly string[] | undefined {
    const entry = this.metadata.get(key);
    if (entry === undefined) return undefined;
    if (entry.type !== GgufValueType.ARRAY || entry.itemType !== GgufValueType.STRING) {
      throw this.#wrong(key, entry, 'an array of strings');
    }
    return entry.value;
  }

  /** Numbers of any width; 64-bit integers must be within 2^53. */
  numberArray(key: string): number[] {
    return this.#present(key, this.optionalNumberArray(key));
  }

  optionalNumberArray(key: string): number[] | undefined {
    const entry = this.metadata.get(key);
    if (entry === undefined) return undefined;
    if (
      entry.type !== GgufValueType.ARRAY ||
      entry.itemType === GgufValueType.STRING ||
      entry.itemType === GgufValueType.ARRAY ||
      entry.itemType === GgufValueType.BOOL
    ) {
      throw this.#wrong(key, entry, 'an array of numbers');
    }
    const numbers = Array.from(entry.value, Number);
    if (entry.value instanceof BigInt64Array || entry.value instanceof BigUint64Array) {
      if (!numbers.every(Number.isSafeInteger)) {
        throw this.#error(key, 'holds an integer past 2^53');
      }
    }
    return numbers;
  }

  booleanArray(key: string): boolean[] {
    return this.#present(key, this.optionalBooleanArray(key));
  }

  optionalBooleanArray(key: string): boolean[] | undefined {
    const entry = this.metadata.get(key);
    if (entry === undefined) return undefined;
    if (entry.type !== GgufValueType.ARRAY || entry.itemType !== GgufValueType.BOOL) {
      throw this.#wrong(key, entry, 'an array of booleans');
    }
    return Array.from(entry.value, (byte) => byte === 1);
  }

  /**
   * One number for each of `count` layers: a single number counts for all, an array must have
   * `count` items. Many hyperparameters come in either form.
   */
  scalarOrArray(key: string, count: number): number[] {
    return this.#present(key, this.optionalScalarOrArray(key, count));
  }

  optionalScalarOrArray(key: string, count: number): number[] | undefined {
    const entry = this.metadata.get(key);
    if (entry === undefined) return undefined;
    if (entry.type !== GgufValueType.ARRAY) {
      return new Array<number>(count).fill(this.number(key));
    }
    const numbers = this.numberArray(key);
    if (numbers.length !== count) {
      throw this.#error(key, `has ${numbers.length} items, expected ${count}`);
    }
    return numbers;
  }

  #present<T>(key: string, value: T | undefined): T {
    if (value === undefined) throw this.#error(key, 'is missing');
    return value;
  }

  #wrong(key: string, entry: GgufMetadataEntry, expected: string): PacelineError {
    const array = entry.type === GgufValueType.ARRAY;
    const found = array
      ? `an array of ${valueTypeName(entry.itemType)}`
      : typeof entry.value === 'bigint'
        ? `${entry.value}, past 2^53`
        : valueTypeName(entry.type);
    return this.#error(key, `is ${found}, expected ${expected}`);
  }

  #error(key: string, problem: string): PacelineError {
    return new PacelineError(
      'broken-file',
      `${this.label}: metadata key ${shown(key)} ${problem}`,
      {
        hint: 'The file is incomplete or made for another program; convert the model again.',
        details: { file: this.label, key },
      },
    );
  }
}

export interface IntegerRange {
  /** 0 unless given. */
  readonly least?: number;
  /** 2^31 - 1 unless given. */
  readonly most?: number;
}
