/** The flags and the variable that say whether and where the KV cache is kept on the disk. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { defaultStoreFolder } from '../cache/store/default-folder.js';
import type { CacheOptions } from '../engine/types.js';
import { note } from './output.js';

/** Values of the flags of `addCacheFlags`. */
export interface CacheFlags {
  /** False with `--no-cache`. */
  readonly cache?: boolean;
  readonly cacheDir?: string;
  readonly cacheBudget?: number;
}

/** Values of `PACELINE_CACHE` that turn the cache off. */
const offWords: readonly (string | undefined)[] = ['off', '0', 'no', 'false'];

/** Bytes of a unit, as people write it. */
const units: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** A number of bytes: `500MB`, `2.5 GiB`, `1000000`. */
export function byteCount(text: string): number {
  const [, amount = '', unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(amount) * (units[unit.toLowerCase()] ?? 1));
  if (amount !== '' && Number.isSafeInteger(bytes)) return bytes;
  throw new InvalidArgumentError('It must be a size such as 500MB or 20GB.');
}

/** The flag that names the folder, also of the commands that look into it. */
export function cacheFolderOption(): Option {
  return new Option(
    '--cache-dir <folder>',
    'where the KV cache is kept (default: PACELINE_CACHE, or kv in the user’s cache folder)',
  );
}

/** The flag that limits the folder. */
export function cacheBudgetOption(): Option {
  return new Option(
    '--cache-budget <size>',
    'most that the KV cache takes on the disk (default: a tenth of the free space, at most 20GB)',
  ).argParser(byteCount);
}

/** Adds the flags to a command that generates. */
export function addCacheFlags(command: Command): Command {
  const group = 'KV cache on the disk (never changes the text):';
  return command
    .addOption(
      new Option('--no-cache', 'neither read nor keep the KV cache of other runs').helpGroup(group),
    )
    .addOption(cacheFolderOption().helpGroup(group))
    .addOption(cacheBudgetOption().helpGroup(group));
}

/** The folder that flag and variable name. */
export function cacheFolderOf({ cacheDir }: Pick<CacheFlags, 'cacheDir'>): string {
  const variable = process.env.PACELINE_CACHE;
  const named = offWords.includes(variable) ? undefined : variable;
  return resolve(cacheDir ?? (named || defaultStoreFolder()));
}

/** The engine's option for the flags; says once, when the folder is new, where it is. */
export function cacheOptions(flags: CacheFlags): CacheOptions | false {
  const off = flags.cacheDir === undefined && offWords.includes(process.env.PACELINE_CACHE);
  if (flags.cache === false || off) return false;
  const folder = cacheFolderOf(flags);
  if (!existsSync(folder)) {
    note(
      `prompts are to be kept in ${folder}, so that none is computed twice; ` +
        '--no-cache or PACELINE_CACHE=off turns that off',
    );
  }
  return {
    folder,
    ...(flags.cacheBudget === undefined ? {} : { budget: flags.cacheBudget }),
  };
}

/** The option with warnings on stderr; an engine in another process says them there itself. */
export function withWarnings(options: CacheOptions | false): CacheOptions | false {
  return options && { ...options, onWarning: (text) => note(`warning: ${text}`) };
}
