/**
 * Where things are: the user's folders for caches, data and settings, and this package's own files.
 * Computes paths only; creates nothing and reads nothing but `package.json`.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PacelineError } from './errors.js';

const application = 'paceline';

export interface PathContext {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly platform?: NodeJS.Platform;
  readonly home?: string;
}

interface FolderRule {
  /** An absolute path in this variable wins on every platform (XDG Base Directory 0.8). */
  readonly variable: string;
  readonly linux: readonly string[];
  readonly mac: readonly string[];
  /** Below `%LOCALAPPDATA%\paceline`. */
  readonly windows: string;
}

/** Folder for what can be made again: the KV store, downloaded peers of the benchmarks. */
export function cacheFolder(context?: PathContext): string {
  return folder(
    {
      variable: 'XDG_CACHE_HOME',
      linux: ['.cache'],
      mac: ['Library', 'Caches'],
      windows: 'Cache',
    },
    context,
  );
}

/** Folder for what the user would miss: pulled models. */
export function dataFolder(context?: PathContext): string {
  return folder(
    {
      variable: 'XDG_DATA_HOME',
      linux: ['.local', 'share'],
      mac: ['Library', 'Application Support'],
      windows: 'Data',
    },
    context,
  );
}

/** Folder for settings. */
export function configFolder(context?: PathContext): string {
  return folder(
    {
      variable: 'XDG_CONFIG_HOME',
      linux: ['.config'],
      mac: ['Library', 'Preferences'],
      windows: 'Config',
    },
    context,
  );
}

function folder(rule: FolderRule, context: PathContext = {}): string {
  const env = context.env ?? process.env;
  const platform = context.platform ?? process.platform;
  const home = context.home ?? homedir();
  const chosen = env[rule.variable];
  // The XDG specification says to ignore relative paths.
  if (chosen !== undefined && isAbsolute(chosen)) return join(chosen, application);
  if (platform === 'win32') {
    return join(env.LOCALAPPDATA || join(home, 'AppData', 'Local'), application, rule.windows);
  }
  return join(home, ...(platform === 'darwin' ? rule.mac : rule.linux), application);
}

let root: string | undefined;

/**
 * The folder of this package: the nearest one above this module whose `package.json` has its name.
 * The same from sources (`src/base`) and when built (`dist/src/base`).
 * @throws {PacelineError} `internal` when the package was taken apart, as by a bundler.
 */
export function packageRoot(): string {
  root ??= findPackageRoot(dirname(fileURLToPath(import.meta.url)));
  return root;
}

/** The nearest folder from `start` upward that holds this package's `package.json`. */
export function findPackageRoot(start: string): string {
  for (let at = start; ; at = dirname(at)) {
    if (packageName(join(at, 'package.json')) === application) return at;
    if (dirname(at) === at) {
      throw new PacelineError('internal', `No package.json of ${application} above ${start}`, {
        hint: 'When bundling, keep this package external: it loads libraries and a model by path.',
        details: { start },
      });
    }
  }
}

function packageName(path: string): unknown {
  try {
    return (JSON.parse(readFileSync(path, 'utf8')) as { name?: unknown }).name;
  } catch {
    return undefined;
  }
}

/** The model that comes with the package. It is not checked here that the file is there. */
export function defaultModelPath(): string {
  return join(packageRoot(), 'models', 'default', 'paceline-default.gguf');
}
