/**
 * Settings files of other programs: what would be written, and writing it, after a backup, into the
 * file that a link leads to, with the permissions that it had.
 */
import { chmod, constants, copyFile, mkdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { writeFileAtomically } from '../base/files.js';
import { changed } from './change.js';
import type { SettingsFile } from './tools.js';

/** Larger files are no settings. */
const largest = 4 * 2 ** 20;

export interface PlannedSettings {
  readonly file: string;
  /** What the file says now; undefined: there is none. */
  readonly before: string | undefined;
  readonly after: string;
}

/** @throws {PacelineError} `broken-file`, `io`. */
export async function planSettings(settings: SettingsFile): Promise<PlannedSettings> {
  const { file, changes, format } = settings;
  const before = await textOf(file);
  return { file, before, after: changed(before, changes, { format, file }) };
}

/**
 * Writes what was planned; nothing where it holds already.
 * @param now for the backup's name.
 * @returns the backup, if there was something to back up.
 * @throws {PacelineError} `io`; `busy` when the file has changed since it was planned.
 */
export async function writeSettings(
  { file, before, after }: PlannedSettings,
  now: Date,
): Promise<string | undefined> {
  if (before === after) return undefined;
  if ((await textOf(file)) !== before) {
    throw new PacelineError('busy', `${file} has just been changed by another program`, {
      hint: 'Run the command again.',
    });
  }
  const bytes = new TextEncoder().encode(after);
  if (before === undefined) {
    await mkdir(dirname(file), { recursive: true });
    await writeFileAtomically(file, (sink) => sink.write(bytes));
    // There may be a key in it.
    await chmod(file, 0o600);
    return undefined;
  }
  const target = await realpath(file);
  const { mode } = await stat(target);
  const backup = `${file}.${now.toISOString().replace(/[:.]/g, '-')}.backup`;
  await copyFile(target, backup, constants.COPYFILE_EXCL);
  await writeFileAtomically(target, (sink) => sink.write(bytes));
  await chmod(target, mode & 0o777);
  return backup;
}

async function textOf(file: string): Promise<string | undefined> {
  try {
    const { size } = await stat(file);
    if (size > largest) throw new Error(`${size} bytes are too many for settings`);
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(file));
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PacelineError('io', `${basename(file)} can't be read: ${why}`, {
      hint: 'Look at the file and its permissions.',
      details: { file },
      cause,
    });
  }
}
