/**
 * Bracketed paste: a terminal that was asked to puts marks around pasted text, so that its line breaks
 * are no Enter keys. Short pastes become text to edit, with a visible sign for each line break; long
 * ones a placeholder that stands for them. `expand` turns a finished line back into what was meant.
 */
import { StringDecoder } from 'node:string_decoder';

/** What to write to a terminal so that it marks pastes, and so that it stops. */
export const pasteMode = { on: '\u001b[?2004h', off: '\u001b[?2004l' } as const;

const begin = Buffer.from('\u001b[200~');
const finish = Buffer.from('\u001b[201~');

/** Stands for a line break; the selector tells it from a sign that somebody typed. */
const lineBreak = '\u23ce\ufe0e';
/** Characters that are shown as they are: the line editor draws the whole line for each. */
const mostShown = 1000;
/** More than this is no message, and must not fill the memory. */
const mostBytes = 16 << 20;

const placeholder = /\[paste (\d+): \d+ lines?\]/g;

export class Pastes {
  readonly #texts: string[] = [];
  /** Bytes of a paste that has begun. */
  #open: Buffer[] | undefined;
  #bytes = 0;
  /** The beginning of a mark at the end of what came last. */
  #rest = Buffer.alloc(0);

  /** Keys for the line editor, pastes made harmless; the beginning of a mark waits for the next call. */
  read(chunk: Buffer): Buffer {
    let bytes = Buffer.concat([this.#rest, chunk]);
    this.#rest = Buffer.alloc(0);
    const keys: Buffer[] = [];
    while (bytes.length > 0) {
      const mark = this.#open === undefined ? begin : finish;
      const at = bytes.indexOf(mark);
      const whole = at === -1 ? bytes.length - partial(bytes, mark) : at;
      const before = bytes.subarray(0, whole);
      if (this.#open === undefined) keys.push(before);
      else this.#keep(before);
      if (at === -1) {
        this.#rest = Buffer.from(bytes.subarray(whole));
        break;
      }
      bytes = bytes.subarray(at + mark.length);
      if (this.#open === undefined) {
        this.#open = [];
        this.#bytes = 0;
      } else {
        keys.push(
          Buffer.from(this.#shown(new StringDecoder('utf8').end(Buffer.concat(this.#open)))),
        );
        this.#open = undefined;
      }
    }
    return Buffer.concat(keys);
  }

  /** What waits for the rest of a mark that does not come: the Escape key, for example. */
  flush(): Buffer {
    if (this.#open !== undefined) return Buffer.alloc(0);
    const rest = this.#rest;
    this.#rest = Buffer.alloc(0);
    return rest;
  }

  #keep(bytes: Buffer): void {
    const room = Math.max(0, mostBytes - this.#bytes);
    this.#open?.push(Buffer.from(bytes.subarray(0, room)));
    this.#bytes += bytes.length;
  }

  #shown(pasted: string): string {
    const text = pasted
      .replace(/\r\n?/g, '\n')
      .replace(/\n$/, '')
      // Escape sequences would command the editor or the terminal.
      .replace(/[^\P{Cc}\t\n]/gu, '');
    const shown = text.replaceAll('\n', lineBreak);
    if (shown.length <= mostShown) return shown;
    const lines = text.split('\n').length;
    return `[paste ${this.#texts.push(text)}: ${lines} line${lines === 1 ? '' : 's'}]`;
  }

  /** A line of the editor as the text that it stands for. */
  expand(line: string): string {
    return line
      .replaceAll(lineBreak, '\n')
      .replace(placeholder, (shown, index: string) => this.#texts[Number(index) - 1] ?? shown);
  }

  /** Whether a line says the same in another chat, where its placeholders stand for nothing. */
  isWhole(line: string): boolean {
    return line.search(placeholder) === -1;
  }
}

/** How many bytes at the end may be the beginning of a mark. */
function partial(bytes: Buffer, mark: Buffer): number {
  for (let length = mark.length - 1; length > 0; length--) {
    if (bytes.subarray(-length).equals(mark.subarray(0, length))) return length;
  }
  return 0;
}
