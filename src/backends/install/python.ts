/**
 * Virtual environments: which Python makes one, with which commands, and whether it then has what it
 * should. `uv` is preferred for its speed, pip does the same; both take nothing but wheels that a lock
 * file names with their SHA-256.
 */
import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { PacelineError } from '../../base/errors.js';
import { packageRoot } from '../../base/paths.js';
import type { OnProgress } from '../../base/progress.js';
import type { Platform, PythonInstallation } from '../descriptor.js';
import { findProgram, runProgram } from './processes.js';

export type Tool = 'uv' | 'pip';

export interface PythonChoice {
  /** Default: uv where it is found, else pip. */
  readonly tool?: Tool | undefined;
  /** A Python of the user's choice. */
  readonly python?: string | undefined;
}

/** How an environment is made. */
export interface PythonPlan {
  readonly tool: Tool;
  /** Path of the lock file. */
  readonly lock: string;
  readonly packages: number;
  /** Programs with their arguments, in order. */
  readonly commands: readonly (readonly [string, ...string[]])[];
}

/** What these programs must not take from the user's settings. */
const cleanPython = {
  PYTHONHOME: undefined,
  PYTHONPATH: undefined,
  PYTHONNOUSERSITE: '1',
  PIP_USER: '0',
  PIP_REQUIRE_VIRTUALENV: '0',
  PIP_DISABLE_PIP_VERSION_CHECK: '1',
  PIP_NO_INPUT: '1',
} as const;

/** The Python inside an environment. */
function pythonIn(folder: string): string {
  return process.platform === 'win32'
    ? join(folder, 'Scripts', 'python.exe')
    : join(folder, 'bin', 'python');
}

/**
 * Path of an installation's lock file.
 * @throws {PacelineError} `platform` when it has none for the platform.
 */
export function lockOf({ locks, variant }: PythonInstallation, platform: string): string {
  const name = locks[platform as Platform];
  if (name !== undefined) {
    return join(packageRoot(), 'src', 'backends', 'installations', 'locks', name);
  }
  throw new PacelineError('platform', `${variant} has no list of packages for ${platform}`, {
    hint: `There are lists for ${Object.keys(locks).join(', ')}.`,
    details: { variant, platform },
  });
}

/**
 * Says how an environment in `folder` is made. Starts Pythons to ask for their versions.
 * @throws {PacelineError} `platform` when no Python suits, or the tool is missing.
 */
export async function planPython(
  installation: PythonInstallation,
  folder: string,
  platform: string,
  choice: PythonChoice,
): Promise<PythonPlan> {
  const { pythons, extraIndexes } = installation;
  const lock = lockOf(installation, platform);
  const uv = choice.tool === 'pip' ? undefined : findProgram('uv');
  if (choice.tool === 'uv' && uv === undefined) {
    throw new PacelineError('platform', 'uv is not in PATH', {
      hint: 'Install it (https://docs.astral.sh/uv), or use --tool pip.',
    });
  }
  const python = await findPython(pythons, choice.python);
  const packages = namesIn(readFileSync(lock, 'utf8')).length;
  const indexes = extraIndexes.flatMap((index) => ['--extra-index-url', index]);
  const exact = ['--no-deps', '--require-hashes', '--only-binary', ':all:', ...indexes, '-r', lock];
  if (uv !== undefined) {
    // uv can bring a Python of its own.
    const asked = python ?? (pythons[0] as string);
    return {
      ...{ tool: 'uv', lock, packages },
      commands: [
        [uv, 'venv', '--no-project', '--clear', '--python', asked, folder],
        [
          ...([uv, 'pip', 'install', '--python', pythonIn(folder)] as const),
          // A package may be in any of the indexes; its hash says whether it is the right one.
          ...(indexes.length > 0 ? ['--index-strategy', 'unsafe-best-match'] : []),
          ...exact,
        ],
      ],
    };
  }
  if (python === undefined) {
    throw new PacelineError('platform', `No Python ${pythons.join(' or ')} was found`, {
      hint: 'Install one (with its venv module), or uv, which brings its own; or give one with --python.',
      details: { pythons },
    });
  }
  return {
    ...{ tool: 'pip', lock, packages },
    commands: [
      [python, '-m', 'venv', '--clear', folder],
      [pythonIn(folder), '-m', 'pip', 'install', ...exact],
    ],
  };
}

/** The first Python of one of these versions; the chosen one must be. */
async function findPython(
  versions: readonly string[],
  chosen: string | undefined,
): Promise<string | undefined> {
  if (chosen !== undefined) {
    const version = await versionOf(chosen);
    if (version !== undefined && versions.includes(version)) return chosen;
    throw new PacelineError(
      'platform',
      version === undefined
        ? `${chosen} is no Python with the modules venv and ensurepip`
        : `${chosen} is Python ${version}`,
      { hint: `Give a Python ${versions.join(' or ')}.`, details: { python: chosen, versions } },
    );
  }
  const inPath = [...versions.map((version) => `python${version}`), 'python3', 'python'];
  const managed = join(process.env.PYENV_ROOT || join(homedir(), '.pyenv'), 'versions');
  const others = (await readdir(managed).catch(() => []))
    .filter((name) => versions.some((version) => name.startsWith(`${version}.`)))
    .map((name) => join(managed, name, 'bin', 'python3'));
  const candidates = [...inPath.flatMap((name) => findProgram(name) ?? []), ...others];
  for (const candidate of candidates) {
    const version = await versionOf(candidate);
    if (version !== undefined && versions.includes(version)) return candidate;
  }
  return undefined;
}

async function versionOf(python: string): Promise<string | undefined> {
  const question = 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2], end="")';
  try {
    return (await runProgram([python, '-I', '-c', question])).trim();
  } catch {
    return undefined;
  }
}

/** Names of the packages that a lock file has, each once. */
function namesIn(lock: string): string[] {
  return [
    ...new Set([...lock.matchAll(/^([a-z0-9][a-z0-9._-]*)==/gim)].map(([, name]) => name ?? '')),
  ];
}

const pollMs = 500;

/**
 * Makes an environment and checks that it has the versions that it is for.
 * @throws {PacelineError} `platform`, `io`, `check-failed`, `aborted`.
 */
export async function makeEnvironment(
  { commands, packages }: PythonPlan,
  folder: string,
  requirements: readonly string[],
  {
    onProgress,
    signal,
  }: { readonly onProgress?: OnProgress | undefined; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  // Neither tool says much to a program, so what is there is counted.
  const timer = setInterval(() => {
    void countPackages(folder).then((done) =>
      onProgress?.({ task: 'installing packages', done, total: packages, unit: 'steps' }),
    );
  }, pollMs);
  try {
    for (const command of commands) await runProgram(command, { env: cleanPython, signal });
  } finally {
    clearInterval(timer);
  }
  await checkVersions(folder, requirements, signal);
}

async function countPackages(folder: string): Promise<number> {
  const lib = join(folder, 'lib');
  const [python = ''] = await readdir(lib).catch(() => []);
  const names = await readdir(join(lib, python, 'site-packages')).catch(() => []);
  return names.filter((name) => name.endsWith('.dist-info')).length;
}

async function checkVersions(
  folder: string,
  requirements: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const script =
    'import importlib.metadata as m, json, sys\n' +
    'def version(name):\n' +
    '    try: return m.version(name)\n' +
    '    except m.PackageNotFoundError: return None\n' +
    'print(json.dumps([version(name) for name in sys.argv[1:]]))';
  const wanted = requirements.map((requirement) => requirement.split('==') as [string, string]);
  const names = wanted.map(([name]) => name);
  const out = await runProgram([pythonIn(folder), '-I', '-c', script, ...names], { signal });
  const found = JSON.parse(out) as (string | null)[];
  for (const [at, [name, version]] of wanted.entries()) {
    if (found[at] === version) continue;
    throw new PacelineError(
      'check-failed',
      `The environment has ${name} ${found[at] ?? '(none)'} instead of ${version}`,
      { hint: 'Install it again.', details: { folder, package: name, found: found[at] ?? null } },
    );
  }
}
