/**
 * A file that is being downloaded in pieces: the data, written wherever a piece belongs, and beside it
 * a journal of what is there, so that a process that was killed loses no more than the last mebibyte of
 * each connection. The journal is believed only if it speaks of the same content, and never proves
 * anything: what was downloaded is checked against its hash in the end.
 */
import { type FileHandle, open, readFile, rm, stat } from 'node:fs/promises';
import { PacelineError } from '../base/errors.js';
import { writeError } from '../base/files.js';

export interface Interval {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

export interface PartialOptions {
  /** Of the data; the journal is this with `.journal`. */
  readonly path: string;
  readonly size: number;
  /** What says that the content is the same as before: a hash, or an ETag. */
  readonly content: string;
  /** What the file is of, for whoever cleans up. */
  readonly label: string;
  /** Whether notes wait until the disk has the bytes, for content that can't be checked by a hash. */
  readonly durable?: boolean;
}

/** First line of a journal. */
interface JournalHeader {
  readonly version: 1;
  readonly size: number;
  readonly content: string;
  readonly label: string;
}

/** Journals of the largest files have some hundred thousand lines. */
const journalLimit = 64 * 2 ** 20;

export const partialSuffix = '.paceline.incomplete';
const journalSuffix = '.journal';

/** The journal of a partial file. */
function journalOf(path: string): string {
  return `${path}${journalSuffix}`;
}

export class PartialFile implements AsyncDisposable {
  readonly #data: FileHandle;
  readonly #journal: FileHandle;
  readonly #path: string;
  readonly #durable: boolean;
  /** Sorted, apart from each other: what nobody has or fetches. */
  #open: Interval[];
  /** Bytes that are there. */
  done: number;

  private constructor(
    { path, durable = false }: PartialOptions,
    data: FileHandle,
    journal: FileHandle,
    gaps: Interval[],
    done: number,
  ) {
    this.#path = path;
    this.#durable = durable;
    this.#data = data;
    this.#journal = journal;
    this.#open = gaps;
    this.done = done;
  }

  /**
   * Opens what an earlier try left, or begins anew.
   * @throws {PacelineError} `io`.
   */
  static async open(options: PartialOptions): Promise<PartialFile> {
    const { path, size, content, label } = options;
    const header: JournalHeader = { version: 1, size, content, label };
    const known = await intervalsOf(path, header);
    const gaps = complement(known, size);
    const done = known.reduce((sum, { start, end }) => sum + end - start, 0);
    try {
      // What the journal does not know is fetched again, so old data need not be wiped.
      const data = await open(path, known.length > 0 ? 'r+' : 'w+');
      try {
        const journal = await open(journalOf(path), 'w');
        const lines = known.map(({ start, end }) => `${start} ${end}\n`).join('');
        await journal.appendFile(`${JSON.stringify(header)}\n${lines}`);
        return new PartialFile(options, data, journal, gaps, done);
      } catch (error) {
        await data.close();
        throw error;
      }
    } catch (error) {
      throw writeError(path, error);
    }
  }

  /** The next piece to fetch, at most `most` bytes; undefined when nothing is left to hand out. */
  take(most: number): Interval | undefined {
    const [first, ...rest] = this.#open;
    if (first === undefined) return undefined;
    const end = Math.min(first.end, first.start + most);
    this.#open = end < first.end ? [{ start: end, end: first.end }, ...rest] : rest;
    return { start: first.start, end };
  }

  /** Bytes that are not handed out. */
  get left(): number {
    return this.#open.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** Gives back a piece that could not be fetched. */
  giveBack(piece: Interval): void {
    if (piece.end <= piece.start) return;
    this.#open = merge([...this.#open, piece]);
  }

  /** Writes bytes where they belong. @throws {PacelineError} `io`. */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    try {
      let written = 0;
      while (written < bytes.byteLength) {
        const length = bytes.byteLength - written;
        const { bytesWritten } = await this.#data.write(bytes, written, length, position + written);
        written += bytesWritten;
      }
      this.done += bytes.byteLength;
    } catch (error) {
      throw writeError(this.#path, error);
    }
  }

  /** Notes that a piece is there, after it was written. @throws {PacelineError} `io`. */
  async note({ start, end }: Interval): Promise<void> {
    try {
      if (this.#durable) await this.#data.datasync();
      await this.#journal.appendFile(`${start} ${end}\n`);
    } catch (error) {
      throw writeError(journalOf(this.#path), error);
    }
  }

  /** Forgets everything: the next piece begins at 0. */
  async restart(size: number): Promise<void> {
    this.#open = size > 0 ? [{ start: 0, end: size }] : [];
    this.done = 0;
    const text = await readFile(journalOf(this.#path), 'utf8').catch(() => '');
    await this.#journal.truncate(0);
    await this.#journal.write(`${text.split('\n')[0]}\n`, 0);
  }

  /** Hands the data to the disk. @throws {PacelineError} `io`. */
  async flush(): Promise<void> {
    try {
      await this.#data.sync();
    } catch (error) {
      throw writeError(this.#path, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#data.close();
    await this.#journal.close();
  }
}

/** Removes what is left of a download. */
export async function removePartial(path: string): Promise<void> {
  await rm(path, { force: true });
  await rm(journalOf(path), { force: true });
}

/** How many bytes of a file an earlier try left on the disk. */
export async function partialBytes(options: PartialOptions): Promise<number> {
  const { size, content, label } = options;
  const known = await intervalsOf(options.path, { version: 1, size, content, label });
  return known.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** What a partial file is of; undefined when its journal can't be read. */
export async function partialLabel(path: string): Promise<string | undefined> {
  return (await readJournal(path))?.header.label;
}

async function readJournal(
  path: string,
): Promise<{ header: Partial<JournalHeader>; lines: string[] } | undefined> {
  try {
    const journal = journalOf(path);
    if ((await stat(journal)).size > journalLimit) return undefined;
    const [first = '', ...lines] = (await readFile(journal, 'utf8')).split('\n');
    // What follows the last line break was torn off by the end of the process.
    const header = (JSON.parse(first) ?? {}) as Partial<JournalHeader>;
    return { header, lines: lines.slice(0, -1) };
  } catch {
    return undefined;
  }
}

/** What the journal says is there, if it is of the same content and the data is long enough. */
async function intervalsOf(path: string, wanted: JournalHeader): Promise<Interval[]> {
  const journal = await readJournal(path);
  if (journal === undefined) return [];
  const { version, size, content } = journal.header;
  if (version !== wanted.version || size !== wanted.size || content !== wanted.content) return [];
  let length: number;
  try {
    length = (await stat(path)).size;
  } catch {
    return [];
  }
  const found: Interval[] = [];
  for (const line of journal.lines) {
    const [, first, last] = /^(\d{1,16}) (\d{1,16})$/.exec(line) ?? [];
    const [start, end] = [Number(first), Number(last)];
    if (start < end && end <= length && end <= wanted.size) found.push({ start, end });
  }
  return merge(found);
}

/** The same bytes as few sorted intervals. */
export function merge(intervals: readonly Interval[]): Interval[] {
  const merged: { start: number; end: number }[] = [];
  for (const { start, end } of [...intervals].sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
}

/** What is missing of `size` bytes. */
export function complement(intervals: readonly Interval[], size: number): Interval[] {
  const gaps: Interval[] = [];
  let at = 0;
  for (const { start, end } of intervals) {
    if (start > at) gaps.push({ start: at, end: start });
    at = end;
  }
  if (at < size) gaps.push({ start: at, end: size });
  return gaps;
}

/** The error for content that changed while it was downloaded; `isChanged` knows it again. */
export function changedError(label: string, what: string): PacelineError {
  return new PacelineError('network', `${label} changed while it was downloaded: ${what}`, {
    hint: 'Pull again to get the new version.',
    details: { file: label, changed: true },
  });
}

/** Whether an error is that of changed content. */
export function isChanged(error: unknown): boolean {
  return PacelineError.is(error) && error.details.changed === true;
}
