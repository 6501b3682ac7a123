/**
 * Reading generated text while it arrives: parsers are generators that wait for more text where they
 * cannot decide yet. Knows nothing of formats.
 */

/** A parser that waits for text. */
export type Reading<Result> = Generator<undefined, Result, undefined>;

const SPACE = /\s/;

export class TextReader {
  private buffer = '';
  private at = 0;
  private ended = false;
  /** What was read since `mark`. */
  private taken = '';

  feed(text: string): void {
    this.buffer = this.buffer.slice(this.at) + text;
    this.at = 0;
  }

  end(): void {
    this.ended = true;
  }

  /** Begins to note what is read. */
  mark(text = ''): void {
    this.taken = text;
  }

  /** What was read since `mark`. */
  get raw(): string {
    return this.taken;
  }

  get atEnd(): boolean {
    return this.ended && this.at >= this.buffer.length;
  }

  private take(count: number): string {
    const text = this.buffer.slice(this.at, this.at + count);
    this.at += text.length;
    this.taken += text;
    return text;
  }

  /** The next character, which stays; empty at the end of the text. */
  *peek(): Reading<string> {
    while (this.at >= this.buffer.length && !this.ended) yield;
    return this.buffer[this.at] ?? '';
  }

  *next(): Reading<string> {
    yield* this.peek();
    return this.take(1);
  }

  /** Takes a text if it comes next. */
  *accept(text: string): Reading<boolean> {
    for (;;) {
      const have = this.buffer.slice(this.at, this.at + text.length);
      if (have === text) {
        this.take(text.length);
        return true;
      }
      if (!text.startsWith(have) || this.ended) return false;
      yield;
    }
  }

  *skipSpace(): Reading<void> {
    for (;;) {
      const next = yield* this.peek();
      if (next === '' || !SPACE.test(next)) return;
      this.take(1);
    }
  }

  /** Hands on text up to the first of some marks, which is taken; undefined: the text ended. */
  *until(marks: readonly string[], onText: (text: string) => unknown): Reading<string | undefined> {
    for (;;) {
      let first = -1;
      let found = '';
      for (const mark of marks) {
        const position = this.buffer.indexOf(mark, this.at);
        if (position >= 0 && (first < 0 || position < first)) [first, found] = [position, mark];
      }
      if (first >= 0) {
        if (first > this.at) onText(this.take(first - this.at));
        this.take(found.length);
        return found;
      }
      const held = this.ended ? 0 : Math.max(0, ...marks.map((mark) => this.begun(mark)));
      const free = this.buffer.length - this.at - held;
      if (free > 0) onText(this.take(free));
      if (this.ended) return undefined;
      yield;
    }
  }

  /** How many last characters of the text could begin a mark. */
  private begun(mark: string): number {
    const have = this.buffer.length - this.at;
    for (let length = Math.min(have, mark.length - 1); length > 0; length--) {
      if (mark.startsWith(this.buffer.slice(this.buffer.length - length))) return length;
    }
    return 0;
  }

  /** Reads one JSON value and hands it on as it comes. False: the text ended inside of it. */
  *json(onText: (text: string) => void): Reading<boolean> {
    let depth = 0;
    let inString = false;
    let escaped = false;
    /** A number or a word has begun, which only what follows ends. */
    let inWord = false;
    for (;;) {
      let done = false;
      const start = this.at;
      while (this.at < this.buffer.length && !done) {
        const next = this.buffer[this.at] as string;
        if (inString) {
          this.at++;
          if (escaped) escaped = false;
          else if (next === '\\') escaped = true;
          else if (next === '"') {
            inString = false;
            done = depth === 0;
          }
        } else if (inWord && depth === 0 && /[\s,}\]]/.test(next)) {
          done = true;
        } else {
          this.at++;
          if (next === '"') inString = true;
          else if (next === '{' || next === '[') depth++;
          else if (next === '}' || next === ']') done = --depth <= 0;
          else if (depth === 0) inWord = true;
        }
      }
      const chunk = this.buffer.slice(start, this.at);
      this.taken += chunk;
      if (chunk !== '') onText(chunk);
      if (done) return true;
      if (this.ended) return inWord && depth === 0;
      yield;
    }
  }
}
