/**
 * What Paceline remembers of models, in one file of the user's settings (`models.json`): aliases, and
 * which drafters belong to which model. Written as a whole and atomically; entries that this version
 * does not know are kept. A file that can't be read is an error and is never overwritten.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { writeFileAtomically } from '../base/files.js';
import { configFolder } from '../base/paths.js';
import { isRecord } from '../base/records.js';
import { makeFolder } from './cache.js';
import { withLock } from './lock.js';
import { isAliasName } from './names.js';

export interface ModelSettings {
  /** Alias to name of the model: `hf:owner/repo:Q4_K_M`, a path, an address. */
  readonly aliases: Readonly<Record<string, string>>;
  /** Name of a model with its file (`hf:owner/repo:file.gguf`) to names of its drafters. */
  readonly drafters: Readonly<Record<string, readonly string[]>>;
}

const mostBytes = 4 * 2 ** 20;

/** Path of the file. */
export function settingsPath(): string {
  return join(configFolder(), 'models.json');
}

/**
 * What is remembered; empty when there is no file.
 * @throws {PacelineError} `broken-file` when the file is no such file, `io`.
 */
export async function readSettings(path: string = settingsPath()): Promise<ModelSettings> {
  return (await readRaw(path)).settings;
}

async function readRaw(
  path: string,
): Promise<{ raw: Record<string, unknown>; settings: ModelSettings }> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return { raw: {}, settings: { aliases: {}, drafters: {} } };
    }
    throw new PacelineError('io', `Cannot read ${path}: ${(error as Error).message}`, {
      hint: 'Check that the file may be read by this user.',
      details: { file: path },
      cause: error,
    });
  }
  const broken = (what: string, cause?: unknown): PacelineError =>
    new PacelineError('broken-file', `${path} is broken: ${what}`, {
      hint: 'Mend it or remove it; it holds aliases and remembered drafters, no models.',
      details: { file: path },
      cause,
    });
  if (text.length > mostBytes) throw broken('too large');
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (cause) {
    throw broken('not JSON', cause);
  }
  if (!isRecord(raw)) throw broken('not an object');
  const { aliases = {}, drafters = {} } = raw;
  if (!isRecord(aliases) || !Object.values(aliases).every((item) => typeof item === 'string')) {
    throw broken('`aliases` must map names to models');
  }
  const isList = (item: unknown): boolean =>
    Array.isArray(item) && item.every((entry) => typeof entry === 'string');
  if (!isRecord(drafters) || !Object.values(drafters).every(isList)) {
    throw broken('`drafters` must map models to lists of models');
  }
  return {
    raw,
    settings: {
      aliases: aliases as Record<string, string>,
      drafters: drafters as Record<string, string[]>,
    },
  };
}

/**
 * Changes what is remembered; other processes that do the same wait.
 * @throws {PacelineError} as `readSettings`.
 */
export async function changeSettings(
  change: (settings: ModelSettings) => ModelSettings,
  path: string = settingsPath(),
): Promise<void> {
  await makeFolder(configFolder());
  await withLock(`${path}.lock`, async () => {
    const { raw, settings } = await readRaw(path);
    const changed = change(settings);
    if (changed === settings) return;
    const text = `${JSON.stringify({ ...raw, ...changed }, undefined, 2)}\n`;
    await writeFileAtomically(path, (sink) => sink.write(Buffer.from(text)));
  });
}

/** What an alias stands for. */
export function aliasTarget({ aliases }: ModelSettings, name: string): string | undefined {
  return Object.hasOwn(aliases, name) ? aliases[name] : undefined;
}

/** The drafters that are remembered of a model. */
export function rememberedDrafters({ drafters }: ModelSettings, model: string): readonly string[] {
  return Object.hasOwn(drafters, model) ? (drafters[model] ?? []) : [];
}

/** @throws {PacelineError} `usage` when a word can't be an alias. */
export function checkAlias(name: string): void {
  if (isAliasName(name)) return;
  throw new PacelineError('usage', `Not a name for a model: ${name}`, {
    hint: 'Use letters, digits, `.`, `_` and `-`, at most 64; not `default`, and no .gguf at the end.',
  });
}
