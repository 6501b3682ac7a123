/**
 * Installs other engines, and removes them. An installation is made in a folder of its own and becomes
 * the installed one when the receipt is renamed, so that a crash at any moment leaves the old one, or
 * none, and what was downloaded. One process at a time; others wait.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PacelineError } from '../../base/errors.js';
import { writeError } from '../../base/files.js';
import type { OnProgress } from '../../base/progress.js';
import { HttpClient, type HttpOptions } from '../../hub/http.js';
import { withLock } from '../../hub/lock.js';
import { freeBytes } from '../../hub/plan.js';
import type { ArchiveInstallation, BackendDescriptor, PythonInstallation } from '../descriptor.js';
import { fetchParts, unpack, unpackCommand } from './archive.js';
import { BackendFolder, type Receipt } from './layout.js';
import { type Machine, thisMachine } from './machine.js';
import { processesIn } from './processes.js';
import { lockOf, makeEnvironment, type PythonChoice, planPython } from './python.js';
import { type Part, partsOf, releasesEndpoint } from './release.js';
import { type Choice, type Selection, selectInstallation } from './select.js';

export interface InstallOptions extends Choice, PythonChoice {
  readonly onProgress?: OnProgress | undefined;
  /** Told in one sentence what the user may want to know meanwhile. */
  readonly onNote?: ((text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Installs again what is installed. */
  readonly force?: boolean | undefined;
  /** Default: this one. */
  readonly machine?: Machine | undefined;
  /** The data folder; default: the user's. */
  readonly data?: string | undefined;
  /** Where releases are listed. */
  readonly endpoint?: URL | undefined;
  /** Timing and number of tries. */
  readonly http?: Pick<HttpOptions, 'silenceMs' | 'pauseMs' | 'tries'> | undefined;
}

/** What an installation would do. */
export interface InstallPlan {
  readonly variant: string;
  readonly release: string;
  readonly chip: string | undefined;
  /** Where it would be; the last part is only known when it is made. */
  readonly folder: string;
  /** Programs with their arguments. */
  readonly commands: readonly (readonly string[])[];
  /** What is downloaded by this program itself, with sizes and hashes. */
  readonly assets: readonly Part[];
  /** Packages that pip or uv get, each with its hash from the lock file. */
  readonly packages: number;
  readonly lock: string | undefined;
  readonly downloadBytes: number;
  readonly installedBytes: number;
}

export interface Installed {
  readonly receipt: Receipt;
  /** Absolute. */
  readonly folder: string;
  /** False: it was there already. */
  readonly changed: boolean;
}

/** The fingerprint of what would be installed now; lists of packages count as their content. */
export function fingerprintOf({ installation, asset }: Selection, machine: Machine): string {
  const { tested: _, ...facts } = installation;
  const lock =
    installation.kind === 'python'
      ? readFileSync(lockOf(installation, machine.platform), 'utf8')
      : '';
  const relevant =
    installation.kind === 'archive' ? { program: installation.program, asset } : facts;
  return createHash('sha256').update(JSON.stringify(relevant)).update(lock).digest('hex');
}

/**
 * What `installBackend` would do, without doing any of it. Of archives the release's listing is read.
 * @throws {PacelineError} as `installBackend`.
 */
export async function planInstall(
  backend: BackendDescriptor,
  options: InstallOptions = {},
): Promise<InstallPlan> {
  const machine = options.machine ?? thisMachine();
  const selection = selectInstallation(backend, machine, options);
  const { installation, asset } = selection;
  const root = new BackendFolder(backend.name, options.data);
  const folder = join(root.path, `${installation.variant}-PROCESS-RANDOM`);
  const common = { variant: installation.variant, chip: selection.chip, folder };
  switch (installation.kind) {
    case 'provided':
      throw providedError(backend, installation.hint);
    case 'python': {
      const plan = await planPython(installation, folder, machine.platform, options);
      const { downloadBytes, installedBytes, version: release } = installation;
      return {
        ...{ ...common, release, downloadBytes, installedBytes, assets: [] },
        ...{ commands: plan.commands, packages: plan.packages, lock: plan.lock },
      };
    }
    case 'archive': {
      if (asset === undefined) throw new PacelineError('internal', 'No archive was selected');
      await using client = clientFor(options);
      const assets = await partsOf(asset, client, options.signal);
      const { installedBytes } = installation;
      return {
        ...{ ...common, release: asset.tag, assets, installedBytes, packages: 0, lock: undefined },
        downloadBytes: assets.reduce((sum, { bytes }) => sum + bytes, 0),
        commands: [unpackCommand(folder)],
      };
    }
  }
}

/**
 * Installs a backend, or brings it to the version of this program.
 * @throws {PacelineError} `usage`, `platform`, `network`, `io` (a full disk, a failed program),
 *   `check-failed` when something else arrived than what was pinned, `aborted`.
 */
export async function installBackend(
  backend: BackendDescriptor,
  options: InstallOptions = {},
): Promise<Installed> {
  const machine = options.machine ?? thisMachine();
  const selection = selectInstallation(backend, machine, options);
  const { installation } = selection;
  if (installation.kind === 'provided') throw providedError(backend, installation.hint);
  const root = new BackendFolder(backend.name, options.data);
  const fingerprint = fingerprintOf(selection, machine);
  return locked(root, options, async () => {
    const before = await root.receipt();
    const whole = before !== undefined && existsSync(programOf(root, before));
    if (whole && before.fingerprint === fingerprint && options.force !== true) {
      await tidy(root, before);
      return { receipt: before, folder: join(root.path, before.folder), changed: false };
    }
    await root.removeUnnamed(before);
    await checkDisk(root, installation);
    const folder = await root.make(installation.variant);
    try {
      await fill(selection, root, folder.path, machine, options);
      const program = join(folder.path, installation.program[0]);
      if (!existsSync(program)) {
        throw new PacelineError('check-failed', `${program} is missing after the installation`, {
          hint: 'What was installed is not what this version of Paceline knows; report it.',
          details: { file: program },
        });
      }
    } catch (error) {
      await rm(folder.path, { recursive: true, force: true });
      throw error;
    }
    const receipt: Receipt = {
      version: 1,
      variant: installation.variant,
      release: selection.asset?.tag ?? installation.version,
      ...(selection.chip === undefined ? {} : { chip: selection.chip }),
      folder: folder.name,
      program: installation.program,
      environment: installation.kind === 'python' ? installation.environment : {},
      fingerprint,
      bytes: await bytesOf(folder.path),
      installed: new Date().toISOString(),
    };
    await root.writeReceipt(receipt);
    await tidy(root, receipt);
    return { receipt, folder: folder.path, changed: true };
  });
}

/** Makes the content of an installation's folder. */
async function fill(
  { installation, asset }: Selection,
  root: BackendFolder,
  folder: string,
  machine: Machine,
  options: InstallOptions,
): Promise<void> {
  if (installation.kind === 'python') {
    const plan = await planPython(installation, folder, machine.platform, options);
    options.onNote?.(
      `${plan.tool} installs ${plan.packages} packages, about ${gigabytes(installation.downloadBytes)} to download`,
    );
    await makeEnvironment(plan, folder, installation.requirements, options);
  } else if (asset !== undefined) {
    await using client = clientFor(options);
    const parts = await partsOf(asset, client, options.signal);
    const paths = await fetchParts(parts, { ...options, client, downloads: root.downloads });
    await unpack(paths, folder, options);
  }
}

/**
 * Removes a backend with all that belongs to it.
 * @returns whether there was anything.
 * @throws {PacelineError} `busy` when it runs, `io`, `aborted`.
 */
export async function uninstallBackend(
  backend: BackendDescriptor,
  options: Pick<InstallOptions, 'data' | 'onNote' | 'signal'> = {},
): Promise<boolean> {
  const root = new BackendFolder(backend.name, options.data);
  if (!existsSync(root.path)) return false;
  return locked(root, options, async () => {
    // A receipt that can't be read must not keep anybody from removing it.
    const before = await root.receipt().catch(() => undefined);
    const using = await processesIn(root.path);
    if (using.length > 0) {
      throw new PacelineError('busy', `${backend.title} is running (${processList(using)})`, {
        hint: 'Stop it, then try again.',
        details: { backend: backend.name, processes: using },
      });
    }
    const names = (await readdir(root.path)).filter((name) => name !== 'lock');
    // Without the receipt nothing is installed, whatever is left after a crash.
    await root.removeReceipt();
    for (const name of names) await rm(join(root.path, name), { recursive: true, force: true });
    return before !== undefined || names.length > 0;
  });
}

function processList(pids: readonly number[]): string {
  return pids.length === 1 ? `process ${pids[0]}` : `processes ${pids.join(', ')}`;
}

/** What is no longer needed once a receipt is there. */
async function tidy(root: BackendFolder, receipt: Receipt): Promise<void> {
  await rm(root.downloads, { recursive: true, force: true });
  await root.removeUnnamed(receipt);
}

/** Absolute path of an installed backend's program. */
export function programOf(root: BackendFolder, { folder, program }: Receipt): string {
  return join(root.path, folder, program[0]);
}

async function locked<T>(
  root: BackendFolder,
  { signal, onNote }: Pick<InstallOptions, 'onNote' | 'signal'>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    await mkdir(root.path, { recursive: true });
  } catch (error) {
    throw writeError(root.path, error);
  }
  return withLock(root.lock, work, {
    signal,
    onWait: (holder) =>
      onNote?.(
        `waiting for ${holder === undefined ? 'another process' : `process ${holder}`}, which changes the same backend`,
      ),
  });
}

/** Beside what is downloaded and unpacked. */
const spareBytes = 256 * 2 ** 20;

async function checkDisk(
  root: BackendFolder,
  { kind, downloadBytes, installedBytes }: PythonInstallation | ArchiveInstallation,
): Promise<void> {
  // Tools of Python keep what they download elsewhere.
  const needed = installedBytes + (kind === 'archive' ? downloadBytes : 0) + spareBytes;
  const free = await freeBytes(root.path);
  if (free === undefined || free >= needed) return;
  throw new PacelineError(
    'io',
    `The disk of ${root.path} has ${gigabytes(free)} left, and about ${gigabytes(needed)} are needed`,
    {
      hint: 'Free some space, or move the data folder with XDG_DATA_HOME.',
      details: { folder: root.path, free, needed },
    },
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/** On the disk; files that have several names count once for each. */
async function bytesOf(folder: string): Promise<number> {
  let sum = 0;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    sum += entry.isDirectory() ? await bytesOf(path) : (await lstat(path)).size;
  }
  return sum;
}

function clientFor({ endpoint, onNote, http }: InstallOptions): HttpClient {
  return new HttpClient({ endpoint: endpoint ?? releasesEndpoint(process.env), onNote, ...http });
}

function providedError({ title, name }: BackendDescriptor, hint: string): PacelineError {
  return new PacelineError('usage', `${title} is not downloaded by Paceline`, {
    hint,
    details: { backend: name },
  });
}
