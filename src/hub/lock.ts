/**
 * Locks between processes on one machine: a file that exists while somebody holds it, with the holder's
 * process inside and a time that is renewed. A holder that was killed is noticed by its process being
 * gone, or by the time standing still, and its lock taken over. In a race for a dead lock two might win;
 * whoever uses locks here must only lose work by that, never files.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PacelineError, throwIfAborted } from '../base/errors.js';

export interface LockOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told once when somebody else holds the lock, with their process id if known. */
  readonly onWait?: ((holder: number | undefined) => void) | undefined;
}

const renewMs = 2000;
/** A lock that was not renewed for so long is dead. */
const deadMs = 20_000;
const pollMs = 250;

/**
 * Runs `work` while holding the lock `path`.
 * @throws {PacelineError} `io` when the lock file can't be made, `aborted` while waiting.
 */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
  { signal, onWait }: LockOptions = {},
): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  for (let waited = false; !(await tryCreate(path)); waited = true) {
    throwIfAborted(signal);
    if (await isDead(path)) {
      await takeAway(path);
      continue;
    }
    if (!waited) onWait?.((await holderOf(path))?.pid);
    await delay(pollMs, undefined, signal === undefined ? {} : { signal }).catch(() => {});
  }
  const renewal = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, renewMs);
  renewal.unref();
  try {
    return await work();
  } finally {
    clearInterval(renewal);
    await rm(path, { force: true }).catch(() => {});
  }
}

/** The process that holds a lock; undefined when nobody does. */
export async function lockHolder(path: string): Promise<number | undefined> {
  const holder = await holderOf(path);
  return holder === undefined || (await isDead(path)) ? undefined : holder.pid;
}

interface Holder {
  readonly pid: number;
  readonly host: string;
}

async function tryCreate(path: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx');
    const holder: Holder = { pid: process.pid, host: hostname() };
    await handle.writeFile(JSON.stringify(holder)).finally(() => handle.close());
    return true;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    throw new PacelineError('io', `Cannot lock ${path}: ${message}`, {
      hint: 'Check that this user may write the folder, and that the disk is not full.',
      details: { file: path, code },
      cause: error,
    });
  }
}

async function holderOf(path: string): Promise<Holder | undefined> {
  try {
    const { pid, host } = JSON.parse(await readFile(path, 'utf8')) as Partial<Holder>;
    return Number.isSafeInteger(pid) && typeof host === 'string'
      ? { pid: pid as number, host }
      : undefined;
  } catch {
    return undefined;
  }
}

async function isDead(path: string): Promise<boolean> {
  const holder = await holderOf(path);
  if (holder !== undefined && holder.host === hostname() && !isRunning(holder.pid)) return true;
  try {
    return Date.now() - (await stat(path)).mtimeMs > deadMs;
  } catch {
    // Gone meanwhile: the next try to create it will tell.
    return false;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Renamed before it is removed, so that of several takers only one gets this very file. */
async function takeAway(path: string): Promise<void> {
  const aside = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`;
  await rename(path, aside).catch(() => {});
  await rm(aside, { force: true }).catch(() => {});
}
