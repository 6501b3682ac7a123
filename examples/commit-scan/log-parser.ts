/**
 * Reads what `git log -p` writes, commit by commit. A commit begins and its message ends with a line
 * that holds a secret of this run, so that no message and no file can look like the next commit.
 * Hunks are read by the counts of their headers, for a removed line may look like the header of a file.
 */
import type { ChangedFile, Commit } from './commit.js';
import type { Line } from './lines.js';

/** What is kept of a commit. The rest is counted. */
export interface Limits {
  /** Characters of a message. */
  readonly message: number;
  /** Characters of all hunks. */
  readonly diff: number;
  readonly files: number;
}

export const usualLimits: Limits = { message: 8000, diff: 64_000, files: 200 };

/** The format for `git log --format` that the parser reads. */
export function logFormat(secret: string): string {
  return ['', `${secret} commit`, '%H', '%P', '%at', '%an', '%B', `${secret} diff`].join('%n');
}

/** A file while it is read. */
interface OpenFile {
  path: string;
  from: string | undefined;
  status: ChangedFile['status'];
  added: number;
  removed: number;
  lines: string[];
}

type State = 'outside' | 'hash' | 'parents' | 'time' | 'author' | 'message' | 'diff';

/** @throws {Error} where the text is none of `git log` with this secret. */
export async function* commitsOf(
  lines: AsyncIterable<Line>,
  { secret, limits = usualLimits }: { readonly secret: string; readonly limits?: Limits },
): AsyncGenerator<Commit> {
  let reader: CommitReader | undefined;
  for await (const line of lines) {
    if (line.text === `${secret} commit`) {
      if (reader !== undefined) yield reader.end();
      reader = new CommitReader(secret, limits);
    } else if (reader !== undefined) reader.line(line);
    else if (line.text !== '') throw new Error(`No commit begins with ${line.text.slice(0, 80)}`);
  }
  if (reader !== undefined) yield reader.end();
}

class CommitReader {
  readonly #secret: string;
  readonly #limits: Limits;
  #state: State = 'hash';
  #hash = '';
  #parents: readonly string[] = [];
  #time = 0;
  #author = '';
  #message = '';
  #cut = false;
  #odd = false;
  readonly #files: OpenFile[] = [];
  #fileCount = 0;
  #added = 0;
  #removed = 0;
  #kept = 0;
  #file: OpenFile | undefined;
  /** Lines of the hunk that are still to come: of each parent, and of the result. */
  #olds: number[] = [];
  #news = 0;

  constructor(secret: string, limits: Limits) {
    this.#secret = secret;
    this.#limits = limits;
  }

  line(line: Line): void {
    const { text } = line;
    if (line.cut) this.#cut = true;
    if (line.odd) this.#odd = true;
    switch (this.#state) {
      case 'hash':
        this.#hash = text;
        this.#state = 'parents';
        return;
      case 'parents':
        this.#parents = text.split(' ').filter((parent) => parent !== '');
        this.#state = 'time';
        return;
      case 'time':
        this.#time = Number(text);
        this.#state = 'author';
        return;
      case 'author':
        this.#author = text;
        this.#state = 'message';
        return;
      case 'message':
        if (text === `${this.#secret} diff`) this.#state = 'diff';
        else if (this.#message.length + text.length < this.#limits.message) {
          this.#message += `${text}\n`;
        } else this.#cut = true;
        return;
      default:
        this.#diffLine(text);
    }
  }

  end(): Commit {
    return {
      hash: this.#hash,
      parents: this.#parents,
      time: this.#time,
      author: this.#author,
      message: this.#message.trim(),
      files: this.#files.map(({ from, ...file }) =>
        from === undefined ? file : { ...file, from },
      ),
      added: this.#added,
      removed: this.#removed,
      fileCount: this.#fileCount,
      cut: this.#cut,
      oddEncoding: this.#odd,
    };
  }

  #diffLine(text: string): void {
    if (this.#news > 0 || this.#olds.some((count) => count > 0)) this.#hunkLine(text);
    else if (text.startsWith('diff --')) this.#begin(text);
    else if (this.#file !== undefined) this.#headerLine(this.#file, text);
  }

  #begin(text: string): void {
    this.#fileCount++;
    const path = pathOfDiff(text);
    this.#file = { path, from: undefined, status: 'modified', added: 0, removed: 0, lines: [] };
    if (this.#files.length < this.#limits.files) this.#files.push(this.#file);
    else this.#cut = true;
  }

  #headerLine(file: OpenFile, text: string): void {
    const [, mark] = /^(@{2,}) /.exec(text) ?? [];
    if (mark !== undefined) this.#beginHunk(text, mark.length - 1);
    else if (text.startsWith('new file mode')) file.status = 'added';
    else if (text.startsWith('deleted file mode')) file.status = 'deleted';
    else if (text.startsWith('Binary files ') || text === 'GIT binary patch')
      file.status = 'binary';
    else if (/^(rename|copy) from /.test(text))
      file.from = unquoted(text.replace(/^\w+ from /, ''));
    else if (/^(rename|copy) to /.test(text)) {
      file.path = unquoted(text.replace(/^\w+ to /, ''));
      file.status = 'renamed';
    } else if (text.startsWith('+++ ') && !text.startsWith('+++ /dev/null')) {
      file.path = unquoted(text.slice(4).replace(/\t$/, '')).replace(/^b\//, '');
    }
  }

  /** `@@ -1,2 +1,3 @@`, or of a merge `@@@ -1,2 -1,2 +1,3 @@@`. A count that is not written is 1. */
  #beginHunk(text: string, parents: number): void {
    const counts = [...text.matchAll(/[-+]\d+(?:,(\d+))?/g)]
      .slice(0, parents + 1)
      .map(([, count = '1']) => Number(count));
    this.#olds = counts.slice(0, parents);
    this.#news = counts[parents] ?? 0;
    this.#keep(text);
  }

  #hunkLine(text: string): void {
    if (text.startsWith('\\')) return;
    const parents = this.#olds.length;
    const marks = text.slice(0, parents).padEnd(parents);
    const isRemoved = marks.includes('-');
    const isAdded = marks.includes('+');
    // A parent has the line unless it was added to that parent; of a removed line, where it says so.
    this.#olds = this.#olds.map((count, index) =>
      (isRemoved ? marks[index] === '-' : marks[index] !== '+') ? Math.max(0, count - 1) : count,
    );
    if (!isRemoved) this.#news = Math.max(0, this.#news - 1);
    if (this.#file !== undefined && isRemoved) this.#file.removed++;
    if (this.#file !== undefined && isAdded) this.#file.added++;
    this.#removed += Number(isRemoved);
    this.#added += Number(isAdded);
    const mark = isRemoved ? '-' : isAdded ? '+' : ' ';
    this.#keep(mark + text.slice(parents));
  }

  #keep(text: string): void {
    if (this.#kept + text.length > this.#limits.diff) {
      this.#cut = true;
      return;
    }
    this.#kept += text.length + 1;
    this.#file?.lines.push(text);
  }
}

/** The path in `diff --git a/x b/x` or `diff --cc x`; later lines say it better where they exist. */
function pathOfDiff(text: string): string {
  const combined = /^diff --(?:cc|combined) (.*)$/.exec(text)?.[1];
  if (combined !== undefined) return unquoted(combined);
  const both = text.slice('diff --git '.length);
  const half = (both.length - 1) / 2;
  const path = unquoted(Number.isInteger(half) ? both.slice(half + 1) : both);
  return path.replace(/^b\//, '');
}

const escapes: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  t: 9,
  n: 10,
  v: 11,
  f: 12,
  r: 13,
};

/** A path as it is: git writes those with quotes or control characters like a string of C. */
function unquoted(text: string): string {
  if (!text.startsWith('"') || !text.endsWith('"') || text.length < 2) return text;
  const bytes: number[] = [];
  for (let at = 1; at < text.length - 1; at++) {
    const char = text[at] ?? '';
    if (char !== '\\') {
      bytes.push(...Buffer.from(String.fromCodePoint(text.codePointAt(at) ?? 0)));
      if ((text.codePointAt(at) ?? 0) > 0xffff) at++;
      continue;
    }
    const octal = /^[0-3][0-7]{2}/.exec(text.slice(at + 1, at + 4))?.[0];
    if (octal !== undefined) {
      bytes.push(Number.parseInt(octal, 8));
      at += 3;
      continue;
    }
    const next = text[at + 1] ?? '';
    bytes.push(escapes[next] ?? next.charCodeAt(0));
    at++;
  }
  return Buffer.from(bytes).toString('utf8');
}
