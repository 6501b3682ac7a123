/**
 * The journal of a scan: a line of JSON a commit, on the disk before the next is begun, so that a scan
 * which was killed goes on where it was. The first line says with what it was made.
 */
import { createReadStream, existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, stat, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { PacelineError } from '../../src/index.js';
import type { Judgement } from './judge.js';
import { linesOf } from './lines.js';
import { answerSchema } from './prompt.js';
import type { Finding } from './rank.js';

/** What findings depend on; a scan goes on only with the same. */
export interface JournalHead {
  readonly version: 1;
  readonly model: string;
  readonly prompt: string;
  readonly budget: number;
  readonly weight: number;
}

export type Entry = Finding & Pick<Judgement, 'tokens' | 'ms'>;

/** Bytes; entries are bounded well below. */
const longestLine = 2 ** 20;

const entrySchema = z.looseObject({
  hash: z.string().regex(/^[0-9a-f]{40,64}$/),
  time: z.number(),
  subject: z.string(),
  answer: answerSchema.optional(),
  signals: z.array(z.strictObject({ name: z.string(), weight: z.number(), where: z.string() })),
  injections: z.array(z.string()),
  files: z.array(z.string()),
  score: z.looseObject({ combined: z.number() }),
  tokens: z.looseObject({ prompt: z.number() }),
  ms: z.number(),
});

export class Journal {
  readonly #file: FileHandle;
  /** Lines that wait for the disk, and the write that will take them all. */
  #waiting = '';
  #next: Promise<void> | undefined;
  #written: Promise<void> = Promise.resolve();

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /**
   * Opens a journal. With `resume` the entries that are there are given to `onEntry`, and a last line
   * that was not written to its end is cut off.
   * @throws {PacelineError} `usage` where there is one already, or one of other settings;
   *   `broken-file`; `io`.
   */
  static async open(
    path: string,
    head: JournalHead,
    { resume, onEntry }: { readonly resume: boolean; readonly onEntry: (entry: Entry) => void },
  ): Promise<Journal> {
    await mkdir(dirname(path), { recursive: true });
    if (existsSync(path)) {
      if (!resume) {
        throw new PacelineError('usage', `${path} has a scan already`, {
          hint: 'Go on with --resume, or name another folder with --out.',
        });
      }
      const bytes = await readEntries(path, head, onEntry);
      await truncate(path, bytes);
    }
    const file = await open(path, 'a', 0o600);
    const journal = new Journal(file);
    if ((await file.stat()).size === 0) await journal.#append(head);
    return journal;
  }

  /** Appends an entry; resolves when it is on the disk. */
  add(entry: Entry): Promise<void> {
    return this.#append(entry);
  }

  async close(): Promise<void> {
    await this.#written.catch(() => {});
    await this.#file.close();
  }

  /** Lines in the order in which they come; those that come during a write share the next one. */
  #append(line: object): Promise<void> {
    this.#waiting += `${JSON.stringify(line)}\n`;
    this.#next ??= this.#written.then(async () => {
      const text = this.#waiting;
      this.#waiting = '';
      this.#next = undefined;
      await this.#file.appendFile(text);
      await this.#file.datasync();
    });
    this.#written = this.#next;
    return this.#next;
  }
}

/** Entries of a journal in their order. @returns bytes of all whole lines. @throws as `open` */
async function readEntries(
  path: string,
  head: JournalHead,
  onEntry: (entry: Entry) => void,
): Promise<number> {
  const { size } = await stat(path);
  let bytes = 0;
  let number = 0;
  for await (const { text, odd } of linesOf(createReadStream(path), { limit: longestLine })) {
    const length = Buffer.byteLength(text) + 1;
    // The line that was being written when the scan ended has no end.
    if (odd || bytes + length > size) break;
    number++;
    const value = jsonOf(text);
    if (number === 1) checkHead(path, value, head);
    else {
      const entry = entrySchema.safeParse(value);
      if (!entry.success) {
        throw new PacelineError('broken-file', `${path}: line ${number} is no entry of a scan`, {
          hint: 'Remove the line, or begin again in another folder.',
        });
      }
      onEntry(entry.data as unknown as Entry);
    }
    bytes += length;
  }
  return bytes;
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function checkHead(path: string, found: unknown, head: JournalHead): void {
  const had = (found ?? {}) as Partial<JournalHead>;
  const other = (Object.keys(head) as (keyof JournalHead)[]).filter(
    (key) => had[key] !== head[key],
  );
  if (other.length === 0) return;
  const [key = 'version'] = other;
  throw new PacelineError(
    'usage',
    `${path} is of a scan with ${key} ${String(had[key])}, not ${String(head[key])}`,
    { hint: 'Go on with the same settings, or begin in another folder with --out.' },
  );
}
