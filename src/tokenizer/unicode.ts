/**
 * What pre-tokenizers ask of a character: is it a letter, a number, white space, ... Guarantees the
 * same answers on every version of Node (the table is that of Unicode 15.1, which the reference
 * uses). Knows nothing of any pre-tokenizer.
 */
import { categoryRuns } from './unicode-table.js';

/** Flags of a code point; exactly one of the first seven is set. */
export const Kind = {
  OTHER: 1,
  NUMBER: 2,
  LETTER: 4,
  WHITESPACE: 8,
  MARK: 16,
  PUNCTUATION: 32,
  SYMBOL: 64,
  /** Only in `classify`: the second UTF-16 unit of a character, beside the character's own flag. */
  TRAIL: 128,
} as const;

const kindOfRun: Readonly<Record<string, number>> = {
  n: Kind.NUMBER,
  l: Kind.LETTER,
  m: Kind.MARK,
  p: Kind.PUNCTUATION,
  s: Kind.SYMBOL,
};

/** White space as the reference counts it: Unicode's White_Space property. */
const whitespace = [
  0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x20, 0x85, 0xa0, 0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004,
  0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000,
];

let kinds: Uint8Array | undefined;

/** One `Kind` flag for each of the 0x110000 code points; built at the first call (about 1 ms). */
export function kindTable(): Uint8Array {
  if (kinds) return kinds;
  const table = new Uint8Array(0x110000).fill(Kind.OTHER);
  let point = 0;
  for (const [, letter, digits] of categoryRuns.matchAll(/([a-z])([0-9A-V]*)/g)) {
    const length = digits ? Number.parseInt(digits, 32) : 1;
    const kind = kindOfRun[letter ?? ''];
    if (kind !== undefined) table.fill(kind, point, point + length);
    point += length;
  }
  for (const space of whitespace) table[space] = Kind.WHITESPACE;
  kinds = table;
  return table;
}

/** What is between runs of Unicode's white space. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  const { kinds } = classify(text);
  for (let start = 0; start < text.length; ) {
    let end = start;
    while (end < text.length && kinds[end] !== Kind.WHITESPACE) end++;
    if (end > start) words.push(text.slice(start, end));
    start = end + 1;
  }
  return words;
}

/** First and last code points of the runs of category C, without unassigned ones. */
let controlRuns: Uint32Array | undefined;

/** True for control, format, private and surrogate code points. */
export function isControl(point: number): boolean {
  controlRuns ??= findControlRuns();
  let [low, high] = [0, controlRuns.length / 2];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((controlRuns[2 * middle + 1] as number) < point) low = middle + 1;
    else high = middle;
  }
  return 2 * low < controlRuns.length && (controlRuns[2 * low] as number) <= point;
}

function findControlRuns(): Uint32Array {
  const runs: number[] = [];
  let point = 0;
  for (const [, letter, digits] of categoryRuns.matchAll(/([a-z])([0-9A-V]*)/g)) {
    const length = digits ? Number.parseInt(digits, 32) : 1;
    if (letter === 'c') runs.push(point, point + length - 1);
    point += length;
  }
  return Uint32Array.from(runs);
}

/** The flags of each UTF-16 unit of a text, and whether any character takes two units. */
export interface Classified {
  readonly kinds: Uint8Array;
  readonly astral: boolean;
}

/** Classifies `text`, which must be well formed. Both units of a pair get the character's flag. */
export function classify(text: string): Classified {
  const table = kindTable();
  const length = text.length;
  const result = new Uint8Array(length);
  let astral = false;
  for (let index = 0; index < length; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0xd800 && unit <= 0xdbff) {
      const kind = table[text.codePointAt(index) ?? 0] as number;
      result[index] = kind;
      result[++index] = kind | Kind.TRAIL;
      astral = true;
    } else {
      result[index] = table[unit] as number;
    }
  }
  return { kinds: result, astral };
}

const loneSurrogate = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const anySurrogate = /[\ud800-\udfff]/;

/** The text with every lone surrogate replaced by U+FFFD, as encoding to UTF-8 does. */
export function wellFormed(text: string): string {
  return anySurrogate.test(text) ? text.replace(loneSurrogate, '\ufffd') : text;
}

/** Bytes that `text` takes in UTF-8. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x80) bytes += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
  }
  return bytes;
}
