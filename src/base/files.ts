/**
 * Writing files so that a reader sees the old content or the whole new one, never a part: into a
 * temporary file beside the target, flushed to the disk, then renamed over it. After an error or an
 * abort the temporary file is gone and the target as it was; what a killed process left of the same
 * target goes with the next writing. Knows nothing of formats.
 */
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PacelineError, throwIfAborted } from './errors.js';
import { removeLeftovers } from './leftovers.js';

/** What tells a file from one that took its place, or that was written to. Times in nanoseconds. */
export interface FileFacts {
  readonly device: bigint;
  readonly inode: bigint;
  readonly size: bigint;
  /** The last change of its content. */
  readonly modified: bigint;
  /** The last change of anything. */
  readonly changed: bigint;
}

/** A file being written from its start to its end. */
export interface FileSink {
  /** Bytes written so far. */
  readonly position: number;
  /** Writes all of `bytes`; they may be reused when the promise settles. */
  write(bytes: Uint8Array): Promise<void>;
}

export interface WriteOptions {
  readonly signal?: AbortSignal | undefined;
  /** Permissions of a new file; default: what the process gives its files. */
  readonly mode?: number | undefined;
}

/** One write call moves at most this much, so that an abort need not wait for a whole tensor. */
const maximalWrite = 64 * 2 ** 20;

/**
 * Creates or replaces `path` with what `produce` writes.
 * @returns what `produce` returned.
 * @throws {PacelineError} `io` when the disk is full or the folder cannot be written; `aborted`;
 *   whatever `produce` throws.
 */
export async function writeFileAtomically<T>(
  path: string,
  produce: (sink: FileSink) => Promise<T>,
  { signal, mode }: WriteOptions = {},
): Promise<T> {
  throwIfAborted(signal);
  const prefix = `.${basename(path)}.`;
  await removeLeftovers(dirname(path), (name) =>
    name.startsWith(prefix) ? ownerOf(name.slice(prefix.length)) : undefined,
  );
  const unique = `${process.pid}-${randomBytes(4).toString('hex')}`;
  const temporary = join(dirname(path), `${prefix}${unique}.part`);
  let handle: FileHandle;
  try {
    handle = await open(temporary, 'wx', mode);
  } catch (error) {
    throw writeError(path, error);
  }
  try {
    const sink = new HandleSink(handle, path, signal);
    const result = await produce(sink);
    throwIfAborted(signal);
    try {
      await handle.sync();
      await handle.close();
      await rename(temporary, path);
    } catch (error) {
      throw writeError(path, error);
    }
    await syncFolder(dirname(path));
    return result;
  } catch (error) {
    // Closing twice does no harm that matters here; what counts is the first error.
    await handle.close().catch(() => {});
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

/** The process whose temporary file ends like this. */
function ownerOf(end: string): number | undefined {
  const [, pid] = /^(\d+)-[0-9a-f]{8}\.part$/.exec(end) ?? [];
  return pid === undefined ? undefined : Number(pid);
}

/** Removes the temporary files of killed processes from a folder where nobody else makes such. */
export function removeStaleParts(folder: string): Promise<void> {
  return removeLeftovers(folder, (name) => {
    const [, end = ''] = /^\..+\.([^.]+\.part)$/.exec(name) ?? [];
    return ownerOf(end);
  });
}

class HandleSink implements FileSink {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #signal: AbortSignal | undefined;
  position = 0;

  constructor(handle: FileHandle, path: string, signal: AbortSignal | undefined) {
    this.#handle = handle;
    this.#path = path;
    this.#signal = signal;
  }

  async write(bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.byteLength) {
      throwIfAborted(this.#signal);
      const length = Math.min(bytes.byteLength - done, maximalWrite);
      try {
        const { bytesWritten } = await this.#handle.write(bytes, done, length, this.position);
        done += bytesWritten;
        this.position += bytesWritten;
      } catch (error) {
        throw writeError(this.#path, error);
      }
    }
  }
}

/** Makes the rename itself last through a power cut; not every file system can, which is no error. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {}
}

/** The `io` error for a failed write to `path`, with a hint that fits its cause. */
export function writeError(path: string, error: unknown): PacelineError {
  const { code, message } = error as NodeJS.ErrnoException;
  const hints: Readonly<Record<string, string>> = {
    ENOSPC: 'The disk is full; free some space or choose another folder.',
    EDQUOT: 'The disk quota is used up; free some space or choose another folder.',
    EFBIG: 'The file system does not take files of this size.',
    ENOENT: 'The folder does not exist; create it first.',
    EACCES: 'Choose a folder that this user may write.',
    EROFS: 'The file system is read-only; choose another folder.',
  };
  return new PacelineError('io', `Cannot write ${path}: ${message}`, {
    hint: hints[code ?? ''] ?? 'Check the disk and the folder.',
    details: { file: path, code },
    cause: error,
  });
}
