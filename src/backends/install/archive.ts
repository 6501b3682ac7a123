/**
 * Archives: parts are downloaded beside each other, each checked by its SHA-256, and joined on their way
 * into `tar`, so that the whole never lies on the disk beside its parts.
 */
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { chmod, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfAborted } from '../../base/errors.js';
import { writeError } from '../../base/files.js';
import type { OnProgress } from '../../base/progress.js';
import { download } from '../../hub/download.js';
import type { HttpClient } from '../../hub/http.js';
import { findProgram, runProgram } from './processes.js';
import type { Part } from './release.js';

export interface FetchOptions {
  readonly client: HttpClient;
  /** The folder of parts, by their SHA-256. */
  readonly downloads: string;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Downloads what is missing of the parts; what an earlier run began goes on.
 * @returns their files, in order.
 * @throws {PacelineError} `network`, `io`, `aborted`.
 */
export async function fetchParts(
  parts: readonly Part[],
  { client, downloads, onProgress, signal }: FetchOptions,
): Promise<string[]> {
  try {
    await mkdir(downloads, { recursive: true });
  } catch (error) {
    throw writeError(downloads, error);
  }
  await removeOthers(downloads, parts);
  const paths: string[] = [];
  for (const { name, url, bytes, sha256 } of parts) {
    const target = join(downloads, sha256);
    // What has this name was checked before it got it.
    if (!(await hasSize(target, bytes))) {
      await download({
        ...{ client, target, onProgress, signal, size: bytes, etag: sha256, hash: 'sha256' },
        locate: async () => ({ url, size: bytes, etag: sha256 }),
        label: name,
        identify: () => undefined,
      });
    }
    paths.push(target);
  }
  return paths;
}

/** Parts of another version: nobody will continue them. */
async function removeOthers(downloads: string, parts: readonly Part[]): Promise<void> {
  for (const name of await readdir(downloads)) {
    if (parts.some(({ sha256 }) => name.startsWith(sha256))) continue;
    await rm(join(downloads, name), { recursive: true, force: true });
  }
}

async function hasSize(path: string, size: number): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.size === size;
}

/** How `tar` is called; the archive comes to its standard input. */
export function unpackCommand(folder: string): readonly [string, ...string[]] {
  return [findProgram('tar') ?? 'tar', '-xzf', '-', '-C', folder];
}

/**
 * Unpacks joined parts into a folder, and makes programs in it executable: some archives are packed
 * without that.
 * @throws {PacelineError} `platform` without `tar`, `io`, `aborted`.
 */
export async function unpack(
  paths: readonly string[],
  folder: string,
  { onProgress, signal }: Pick<FetchOptions, 'onProgress' | 'signal'>,
): Promise<void> {
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  await runProgram(unpackCommand(folder), {
    signal,
    input: async ({ stdin }) => {
      if (stdin === null) return;
      let [done, broken] = [0, false];
      // A `tar` that has ended says itself why.
      stdin.on('error', () => {
        broken = true;
      });
      for (const path of paths) {
        for await (const bytes of createReadStream(path, { highWaterMark: 2 ** 20 })) {
          throwIfAborted(signal);
          if (broken) return;
          if (!stdin.write(bytes)) {
            await Promise.race([once(stdin, 'drain'), once(stdin, 'close')]).catch(() => {});
          }
          done += (bytes as Buffer).length;
          onProgress?.({ task: 'unpacking', done, total, unit: 'bytes' });
        }
      }
      stdin.end();
    },
  });
  await markPrograms(folder, false);
}

async function markPrograms(folder: string, programs: boolean): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await markPrograms(path, entry.name === 'bin');
    else if (programs && entry.isFile() && (await isProgram(path))) {
      await chmod(path, (await stat(path)).mode | 0o111);
    }
  }
}

/** Whether a file begins as an ELF program or a script does. */
async function isProgram(path: string): Promise<boolean> {
  const handle = await open(path, 'r');
  try {
    const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    return buffer.toString('latin1') === '\x7fELF' || buffer.toString('latin1').startsWith('#!');
  } finally {
    await handle.close();
  }
}
