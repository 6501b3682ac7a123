/**
 * Random access to bytes: a file on disk or a buffer in memory. A read gives exactly the bytes asked
 * for or an error; nobody above needs to know of short reads.
 */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { PacelineError, throwIfAborted } from '../base/errors.js';
import type { FileFacts } from '../base/files.js';

export interface ByteSource {
  /** Path or label for messages. */
  readonly name: string;
  /** Bytes when the source was opened. */
  readonly size: number;
  /** What a file was when it was opened; undefined for bytes in memory. */
  readonly facts?: FileFacts | undefined;
  /**
   * Fills `target` from `position` on.
   * @throws {PacelineError} `broken-file` when the source has become shorter, `io`, `aborted`.
   */
  read(target: Uint8Array, position: number, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** One read call moves at most this much: Linux stops at 2 GiB, and aborts should not wait long. */
const maximalRead = 256 * 2 ** 20;

/** A source over bytes in memory. */
export function memorySource(bytes: Uint8Array, name = 'memory'): ByteSource {
  return {
    name,
    size: bytes.byteLength,
    async read(target, position) {
      if (position + target.byteLength > bytes.byteLength) {
        throw shrunk(name, position + target.byteLength, bytes.byteLength);
      }
      target.set(bytes.subarray(position, position + target.byteLength));
    },
    async close() {},
  };
}

/**
 * Opens a regular file for reading.
 * @throws {PacelineError} `model-not-found` when there is none, `io` when it cannot be opened.
 */
export async function openFileSource(path: string): Promise<ByteSource> {
  let handle: FileHandle;
  let facts: FileFacts;
  try {
    // Looked at before opening, because opening a pipe would wait for its other end.
    const facts = await stat(path);
    if (!facts.isFile()) {
      const what = facts.isDirectory() ? 'a folder' : 'not a regular file';
      throw new PacelineError('model-not-found', `${path} is ${what}`, {
        hint: 'Give the path of a .gguf file.',
        details: { file: path },
      });
    }
    handle = await open(path, 'r');
  } catch (error) {
    throw openingError(path, error);
  }
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await handle.stat({ bigint: true });
    facts = { device: dev, inode: ino, size, modified: mtimeNs, changed: ctimeNs };
  } catch (error) {
    await handle.close();
    throw openingError(path, error);
  }
  return {
    name: path,
    size: Number(facts.size),
    facts,
    async read(target, position, signal) {
      let done = 0;
      while (done < target.byteLength) {
        throwIfAborted(signal);
        const length = Math.min(target.byteLength - done, maximalRead);
        const { bytesRead } = await handle
          .read(target, done, length, position + done)
          .catch((error: unknown) => {
            throw readError(path, error);
          });
        if (bytesRead === 0) throw shrunk(path, position + target.byteLength, position + done);
        done += bytesRead;
      }
    },
    close: () => handle.close(),
  };
}

function openingError(path: string, error: unknown): PacelineError {
  if (PacelineError.is(error)) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new PacelineError('model-not-found', `There is no file ${path}`, {
      hint: 'Check the path; it is read from the current folder.',
      details: { file: path },
      cause: error,
    });
  }
  return new PacelineError('io', `Cannot open ${path}: ${(error as Error).message}`, {
    hint: 'Check that the file may be read by this user.',
    details: { file: path, code },
    cause: error,
  });
}

/** The `io` error for a failed read of `path`. */
export function readError(path: string, error: unknown): PacelineError {
  const { code, message } = error as NodeJS.ErrnoException;
  return new PacelineError('io', `Cannot read ${path}: ${message}`, {
    hint: 'Check the disk or the network share that the file is on.',
    details: { file: path, code },
    cause: error,
  });
}

function shrunk(name: string, needed: number, size: number): PacelineError {
  return new PacelineError(
    'broken-file',
    `${name} became shorter while it was read: ${needed - size} of the bytes up to ${needed} are gone`,
    {
      hint: 'Another program is writing this file; wait for it to finish, then load again.',
      details: { file: name, offset: size, missing: needed - size },
    },
  );
}
