/**
 * Downloads one file: several connections fetch ranges of it at once into a `PartialFile`, which a
 * later run continues. In the end the whole is hashed, flushed, and only then renamed to its place, so
 * that what has the right name has the right bytes. Knows nothing of repositories.
 */
import { createHash, type Hash } from 'node:crypto';
import { open, rename, stat } from 'node:fs/promises';
import { PacelineError, throwIfAborted } from '../base/errors.js';
import { writeError } from '../base/files.js';
import type { OnProgress } from '../base/progress.js';
import { readError } from '../gguf/source.js';
import { type Answer, headerOf } from './answer.js';
import { connectionFailure, type HttpClient, TransientFailure } from './http.js';
import {
  changedError,
  type Interval,
  PartialFile,
  partialSuffix,
  removePartial,
} from './partial.js';

/** Where the bytes are at the moment; signed addresses of storages expire. */
export interface Location {
  readonly url: URL;
  readonly size: number;
  /** As the source names the content. */
  readonly etag: string;
}

export interface DownloadOptions {
  readonly client: HttpClient;
  /** Asks where the bytes are; asked again when the address no longer works. */
  readonly locate: (signal?: AbortSignal) => Promise<Location>;
  /** The finished file. */
  readonly target: string;
  readonly size: number;
  /** What every location must call the content. */
  readonly etag: string;
  /** `etag` is this hash of the content; undefined: only the length can be checked. */
  readonly hash: HashKind | undefined;
  /** What an answer with bytes calls the content; undefined where it does not say. */
  readonly identify: (answer: Answer) => string | undefined;
  /** For messages and progress. */
  readonly label: string;
  readonly connections?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** SHA-256 as LFS has it, or git's SHA-1 of a blob. */
export type HashKind = 'sha256' | 'git';

const usualConnections = 8;
/** A request asks for so much: large enough to be worth its round trip, small enough to share the end. */
const leastPiece = 4 * 2 ** 20;
const mostPiece = 64 * 2 ** 20;
/** After so many bytes a connection notes what it has written. */
const notedBytes = 2 ** 20;

/**
 * Downloads a file, or finishes what an earlier call began.
 * @returns bytes that came over the network.
 * @throws {PacelineError} `network`, `unauthorized`, `model-not-found`, `io`, `aborted`. After any of
 *   them what was fetched is kept, except when the content turned out to be wrong.
 */
export async function download(options: DownloadOptions): Promise<number> {
  const { target, size, etag, label, onProgress, signal } = options;
  const path = `${target}${partialSuffix}`;
  let before = 0;
  let fetched = 0;
  {
    // Without a hash in the end, only what the disk has may count as there.
    const durable = options.hash === undefined;
    await using partial = await PartialFile.open({ path, size, content: etag, label, durable });
    before = partial.done;
    const run = new Run(options, partial);
    await run.all();
    fetched = partial.done - before;
    await partial.flush();
  }
  if (options.hash !== undefined) {
    const found = await hashFile(path, options.hash, { onProgress, signal, label });
    if (found !== etag) {
      await removePartial(path);
      // After a power cut the disk may lack what the journal knows.
      if (before > 0) return fetched + (await download(options));
      throw new PacelineError(
        'network',
        `${label} arrived damaged: its hash is ${found}, not ${etag}`,
        {
          hint: 'Pull again. If it happens again, a proxy changes what passes, or the repository is broken.',
          details: { file: label, expected: etag, found },
        },
      );
    }
  }
  await rename(path, target).catch((error: unknown) => {
    throw writeError(target, error);
  });
  await removePartial(path);
  return fetched;
}

/** Why pieces can't be fetched one by one. */
class NoRanges extends Error {}

/** One download in progress. */
class Run {
  readonly #options: DownloadOptions;
  readonly #partial: PartialFile;
  readonly #stop = new AbortController();
  #location: Promise<Location> | undefined;
  /** False once the server answered a range with the whole file. */
  #ranges = true;

  constructor(options: DownloadOptions, partial: PartialFile) {
    this.#options = options;
    this.#partial = partial;
  }

  async all(): Promise<void> {
    const { signal, connections = usualConnections } = this.#options;
    const abort = (): void => this.#stop.abort(signal?.reason);
    throwIfAborted(signal);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      // The first piece shows whether the server knows ranges, before others ask for theirs.
      await this.#work(1);
      if (!this.#ranges) {
        await this.#whole();
        return;
      }
      const workers = Array.from({ length: connections }, () =>
        this.#work(Number.POSITIVE_INFINITY),
      );
      // One failure ends the others; what they have is noted before they end.
      const guarded = workers.map((worker) =>
        worker.catch((error: unknown) => {
          this.#stop.abort(error);
          throw error;
        }),
      );
      const results = await Promise.allSettled(guarded);
      throwIfAborted(signal);
      const failed = results.filter((result) => result.status === 'rejected');
      const first = failed.find(({ reason }) => !isAbort(reason)) ?? failed[0];
      if (first !== undefined) throw first.reason;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  async #work(mostPieces: number): Promise<void> {
    const partial = this.#partial;
    const { connections = usualConnections, client } = this.#options;
    // Each connection counts its own: an outage of a second hits all of them at once.
    let failures = 0;
    let doneBefore = partial.done;
    for (let pieces = 0; pieces < mostPieces && this.#ranges; ) {
      const even = Math.ceil(partial.left / connections);
      const piece = partial.take(Math.min(mostPiece, Math.max(leastPiece, even)));
      if (piece === undefined) return;
      try {
        await this.#fetch(piece);
        pieces++;
      } catch (error) {
        if (error instanceof NoRanges) {
          this.#ranges = false;
          return;
        }
        if (!(error instanceof TransientFailure)) throw error;
        // As long as bytes come, on whatever connection, the server is alive.
        failures = partial.done > doneBefore ? 1 : failures + 1;
        doneBefore = partial.done;
        await client.pause(error, failures, this.#stop.signal);
      }
    }
  }

  /** Where the bytes are; one question for all connections. */
  async #locate(): Promise<Location> {
    this.#location ??= this.#options.locate(this.#stop.signal);
    const location = await this.#location;
    const { etag, size, label } = this.#options;
    if (location.etag !== etag) throw changedError(label, 'its ETag is another one');
    if (location.size !== size) {
      throw changedError(label, `it has ${location.size} bytes instead of ${size}`);
    }
    return location;
  }

  /** Fetches a piece. What is missing of it after a failure is given back. */
  async #fetch(piece: Interval): Promise<void> {
    const partial = this.#partial;
    let at = piece.start;
    let noted = piece.start;
    try {
      for await (const bytes of this.#bytes(piece)) {
        if (at + bytes.byteLength > piece.end)
          throw this.#strange('sends more than it was asked for');
        await partial.write(bytes, at);
        at += bytes.byteLength;
        if (at - noted >= notedBytes) {
          await partial.note({ start: noted, end: at });
          noted = at;
        }
        this.#report();
      }
      if (at < piece.end) throw new TransientFailure(this.#strange('ended an answer too early'));
    } finally {
      partial.giveBack({ start: at, end: piece.end });
      if (at > noted) await partial.note({ start: noted, end: at });
    }
  }

  /** The bytes of a piece as they come. @throws {NoRanges} when the server sends the whole file. */
  async *#bytes({ start, end }: Interval): AsyncGenerator<Uint8Array> {
    const { client, size, etag, label } = this.#options;
    const location = await this.#locate();
    const { signal } = this.#stop;
    const headers = { range: `bytes=${start}-${end - 1}` };
    const answer = await client.send(location.url, { headers, signal });
    try {
      const { status } = answer;
      if (status === 416) throw changedError(label, 'it has become shorter');
      if (status !== 206 && status !== 200) throw await this.#refused(answer);
      const named = this.#options.identify(answer);
      if (named !== undefined && named !== etag)
        throw changedError(label, 'its ETag is another one');
      const total = status === 200 ? headerOf(answer.headers, 'content-length') : undefined;
      const range = status === 206 ? headerOf(answer.headers, 'content-range') : undefined;
      const length = total ?? /\/(\d+)$/.exec(range ?? '')?.[1];
      if (length !== undefined && Number(length) !== size) {
        throw changedError(label, `it has ${length} bytes instead of ${size}`);
      }
      if (status === 200 && (start !== 0 || end !== size)) throw new NoRanges();
      if (status === 206 && range !== `bytes ${start}-${end - 1}/${size}`) {
        const said = JSON.stringify((range ?? '').slice(0, 80));
        throw this.#strange(`answered the range ${start}-${end - 1} with ${said}`);
      }
      try {
        for await (const bytes of answer.body) yield bytes as Uint8Array;
      } catch (error) {
        throw connectionFailure(answer.url, error, signal);
      }
    } finally {
      answer.body.destroy();
    }
  }

  async #refused(answer: Answer): Promise<Error> {
    const { client } = this.#options;
    const failure = await client.failure(answer);
    // A signed address of a storage expires; the hub gives a new one.
    this.#location = undefined;
    if (failure instanceof TransientFailure || client.isHub(answer.url)) return failure;
    return new TransientFailure(failure);
  }

  /** For servers without ranges: the file as one stream, from its start. */
  async #whole(): Promise<void> {
    const { client, size } = this.#options;
    for (let failures = 1; ; failures++) {
      await this.#partial.restart(size);
      const piece = this.#partial.take(Math.max(1, size));
      if (piece === undefined) return;
      try {
        await this.#fetch(piece);
        return;
      } catch (error) {
        if (!(error instanceof TransientFailure)) throw error;
        // Bytes that have to come again are no progress.
        await client.pause(error, failures, this.#stop.signal);
      }
    }
  }

  #report(): void {
    const { onProgress, label, size } = this.#options;
    onProgress?.({ task: label, done: this.#partial.done, total: size, unit: 'bytes' });
  }

  #strange(what: string): PacelineError {
    const { label } = this.#options;
    return new PacelineError('network', `The server of ${label} ${what}`, {
      hint: 'Try again; if it goes on, check the proxy and HF_ENDPOINT.',
      details: { file: label },
    });
  }
}

function isAbort(error: unknown): boolean {
  return PacelineError.is(error) && error.code === 'aborted';
}

const hashedAtOnce = 4 * 2 ** 20;

/**
 * SHA-256 of a file, or git's name of it as a blob (SHA-1 over a short header and the content).
 * @throws {PacelineError} `io`, `aborted`.
 */
async function hashFile(
  path: string,
  kind: HashKind,
  options: Pick<DownloadOptions, 'onProgress' | 'signal'> & { readonly label: string },
): Promise<string> {
  const { onProgress, signal, label } = options;
  try {
    const total = (await stat(path)).size;
    const handle = await open(path, 'r');
    try {
      const hash: Hash = createHash(kind === 'git' ? 'sha1' : 'sha256');
      if (kind === 'git') hash.update(`blob ${total}\0`);
      const buffer = Buffer.allocUnsafe(hashedAtOnce);
      for (let done = 0; done < total; ) {
        throwIfAborted(signal);
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, done);
        if (bytesRead === 0) break;
        hash.update(buffer.subarray(0, bytesRead));
        done += bytesRead;
        onProgress?.({ task: `checking ${label}`, done, total, unit: 'bytes' });
      }
      return hash.digest('hex');
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw PacelineError.is(error) ? error : readError(path, error);
  }
}
