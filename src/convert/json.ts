/**
 * Typed access to JSON files of a checkpoint. A getter returns a value of the asked kind, undefined
 * where the key is absent or null, or throws an error that names file and key.
 */
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { isRecord } from '../base/records.js';

/** More than any tokenizer.json has. */
const mostBytes = 256 * 2 ** 20;

/**
 * The text of a file; undefined when there is none.
 * @throws {PacelineError} `broken-file` when it is too large or not UTF-8, `io`.
 */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    if (size > mostBytes) throw broken(path, `has ${size} bytes, more than any such file needs`);
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path));
  } catch (error) {
    if (PacelineError.is(error)) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (error instanceof TypeError) throw broken(path, 'is not UTF-8');
    throw new PacelineError('io', `Cannot read ${path}: ${message}`, { cause: error });
  }
}

/** A JSON object from a file; undefined when there is none. @throws {PacelineError} `broken-file`. */
export async function readJsonIfThere(path: string): Promise<JsonObject | undefined> {
  const value = await readValueIfThere(path);
  if (value === undefined) return undefined;
  if (!isRecord(value)) throw broken(path, 'holds no JSON object');
  return new JsonObject(basename(path), value);
}

/** A JSON list from a file; undefined when there is none. @throws {PacelineError} `broken-file`. */
export async function readJsonListIfThere(path: string): Promise<readonly unknown[] | undefined> {
  const value = await readValueIfThere(path);
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw broken(path, 'holds no JSON list');
  return value as readonly unknown[];
}

async function readValueIfThere(path: string): Promise<unknown> {
  const text = await readTextIfThere(path);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw broken(path, `is not JSON: ${(error as Error).message}`);
  }
}

export class JsonObject {
  readonly where: string;
  readonly values: Readonly<Record<string, unknown>>;

  constructor(where: string, values: Readonly<Record<string, unknown>>) {
    this.where = where;
    this.values = values;
  }

  /** The value, or undefined for null and for what only the prototype has. */
  get(key: string): unknown {
    return Object.hasOwn(this.values, key) ? (this.values[key] ?? undefined) : undefined;
  }

  string(key: string): string | undefined {
    return this.#typed(key, 'a string', (value) => typeof value === 'string');
  }

  number(key: string): number | undefined {
    return this.#typed(key, 'a number', (value) => Number.isFinite(value));
  }

  /** A whole number from 1 to 2^31 - 1. */
  count(key: string): number | undefined {
    return this.#typed(key, 'a whole number above 0', (value) => isCount(value));
  }

  /** A whole number from 0 to 2^31 - 1. */
  whole(key: string): number | undefined {
    return this.get(key) === 0 ? 0 : this.count(key);
  }

  /** @throws {PacelineError} `broken-file` when it is absent. */
  requiredCount(key: string): number {
    const value = this.count(key);
    if (value === undefined) throw this.wrong(key, 'is missing');
    return value;
  }

  boolean(key: string): boolean | undefined {
    return this.#typed(key, 'true or false', (value) => typeof value === 'boolean');
  }

  object(key: string): JsonObject | undefined {
    const value = this.#typed<Record<string, unknown>>(key, 'an object', isRecord);
    return value && new JsonObject(`${this.where}: ${key}`, value);
  }

  list(key: string): readonly unknown[] | undefined {
    return this.#typed(key, 'a list', Array.isArray);
  }

  wrong(key: string, problem: string): PacelineError {
    return broken(this.where, `${key} ${problem}`);
  }

  #typed<T>(key: string, expected: string, fits: (value: unknown) => boolean): T | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (!fits(value)) throw this.wrong(key, `is not ${expected}`);
    return value as T;
  }
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) < 2 ** 31;
}

function broken(where: string, problem: string): PacelineError {
  return new PacelineError('broken-file', `${where} ${problem}`, {
    hint: 'The checkpoint is incomplete or damaged; download it again.',
    details: { file: where },
  });
}
