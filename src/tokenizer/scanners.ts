/**
 * Hand-written pre-tokenizers: the rules that most models use, as loops over character kinds. Each
 * cuts `text[start, end)` and appends the end of every piece to `ends`; it never looks beyond
 * `end`. They follow the reference's own loops, not the published regular expressions, where the
 * two differ. Knows nothing of vocabularies.
 */
import { type Classified, Kind } from './unicode.js';

/** Cuts `[start, end)` of a text into pieces; pushes each piece's end. */
export type Splitter = (source: SplitSource, start: number, end: number, ends: number[]) => void;

/** The text being cut, with what several stages share. */
export interface SplitSource extends Classified {
  readonly text: string;
}

const APOSTROPHE = 0x27;
const SPACE = 0x20;
const CR = 0x0d;
const LF = 0x0a;
const WORD = Kind.WHITESPACE | Kind.LETTER | Kind.NUMBER;

/** Length of an English contraction ('s, 't, 're, ...) at `position`, or 0. */
function contraction(text: string, position: number, end: number, anyCase: boolean): number {
  if (position + 1 >= end) return 0;
  const fold = anyCase ? 0x20 : 0;
  const first = lower(text.charCodeAt(position + 1), fold);
  // s, t, m, d
  if (first === 0x73 || first === 0x74 || first === 0x6d || first === 0x64) return 2;
  if (position + 2 >= end) return 0;
  const second = lower(text.charCodeAt(position + 2), fold);
  const matches =
    ((first === 0x72 || first === 0x76) && second === 0x65) || (first === 0x6c && second === 0x6c);
  return matches ? 3 : 0;
}

function lower(unit: number, fold: number): number {
  return unit >= 0x41 && unit <= 0x5a ? unit | fold : unit;
}

/** GPT-2: contractions, words, numbers and punctuation, each with an optional space before it. */
export const splitGpt2: Splitter = ({ text, kinds }, start, end, ends) => {
  let position = start;
  while (position < end) {
    const unit = text.charCodeAt(position);
    if (unit === APOSTROPHE) {
      const length = contraction(text, position, end, false);
      if (length > 0) {
        position += length;
        ends.push(position);
        continue;
      }
    }
    const ahead = unit === SPACE ? position + 1 : position;
    const kind = ahead < end ? (kinds[ahead] as number) : 0;
    if (kind !== 0 && (kind & Kind.WHITESPACE) === 0) {
      const run = kind & (Kind.LETTER | Kind.NUMBER);
      position = ahead;
      if (run !== 0) {
        while (position < end && ((kinds[position] as number) & run) !== 0) position++;
      } else {
        while (position < end && ((kinds[position] as number) & WORD) === 0) position++;
      }
      ends.push(position);
      continue;
    }
    position = endOfSpaces(kinds, position, end);
    ends.push(position);
  }
};

/** A run of white space leaves its last character to the word that follows. */
function endOfSpaces(kinds: Uint8Array, start: number, end: number): number {
  let position = start;
  while (position < end && ((kinds[position] as number) & Kind.WHITESPACE) !== 0) position++;
  return position - start > 1 && position < end ? position - 1 : position;
}

export interface WordRules {
  /** Digits that stand together, from the left. */
  readonly digits: 1 | 3;
  /** Combining marks belong to words (Qwen 3.5). */
  readonly marks: boolean;
}

/** Llama 3, Qwen 2 and Qwen 3.5: a word takes one leading non-letter, line ends stand together. */
export function wordSplitter(rules: WordRules): Splitter {
  const letters = rules.marks ? Kind.LETTER | Kind.MARK : Kind.LETTER;
  const notPunctuation = letters | Kind.WHITESPACE | Kind.NUMBER;
  return ({ text, kinds }, start, end, ends) => {
    let position = start;
    while (position < end) {
      const unit = text.charCodeAt(position);
      const kind = kinds[position] as number;
      if (unit === APOSTROPHE) {
        const length = contraction(text, position, end, true);
        if (length > 0) {
          position += length;
          ends.push(position);
          continue;
        }
      }
      if ((kind & Kind.NUMBER) !== 0) {
        position = pushNumbers(kinds, position, end, rules.digits, ends);
        continue;
      }
      const next = step(kinds, position, end);
      const following = next < end ? (kinds[next] as number) : 0;
      if (unit !== CR && unit !== LF && ((kind | following) & letters) !== 0) {
        position = next;
        while (position < end && ((kinds[position] as number) & letters) !== 0) position++;
        ends.push(position);
        continue;
      }
      const ahead = unit === SPACE ? position + 1 : position;
      if (((ahead < end ? (kinds[ahead] as number) : 0) & notPunctuation) === 0) {
        position = ahead;
        while (position < end && ((kinds[position] as number) & notPunctuation) === 0) position++;
        position = endOfLines(text, position, end);
      } else {
        position = endOfBlank(text, kinds, position, end);
      }
      ends.push(position);
    }
  };
}

/** The position after the character at `position`. */
function step(kinds: Uint8Array, position: number, end: number): number {
  const next = position + 1;
  return next < end && ((kinds[next] as number) & Kind.TRAIL) !== 0 ? next + 1 : next;
}

/** Cuts a run of numbers into groups of at most `size` characters; returns the run's end. */
function pushNumbers(
  kinds: Uint8Array,
  start: number,
  end: number,
  size: number,
  ends: number[],
): number {
  let position = start;
  for (let count = 0; position < end && ((kinds[position] as number) & Kind.NUMBER) !== 0; ) {
    position = step(kinds, position, end);
    if (++count % size === 0) ends.push(position);
  }
  if (ends[ends.length - 1] !== position) ends.push(position);
  return position;
}

function endOfLines(text: string, start: number, end: number): number {
  let position = start;
  while (position < end) {
    const unit = text.charCodeAt(position);
    if (unit !== CR && unit !== LF) break;
    position++;
  }
  return position;
}

/** White space: up to its last line end if it has one, else all but the last character. */
function endOfBlank(text: string, kinds: Uint8Array, start: number, end: number): number {
  let position = start;
  let afterLine = 0;
  while (position < end && ((kinds[position] as number) & Kind.WHITESPACE) !== 0) {
    const unit = text.charCodeAt(position++);
    if (unit === CR || unit === LF) afterLine = position;
  }
  if (afterLine > 0) return afterLine;
  return position - start > 1 && position < end ? position - 1 : position;
}

/** Isolates numbers in groups of at most `size` characters (`Infinity`: whole runs). */
export function numberSplitter(size: number): Splitter {
  return ({ kinds }, start, end, ends) => {
    let position = start;
    while (position < end) {
      if (((kinds[position] as number) & Kind.NUMBER) !== 0) {
        position = pushNumbers(kinds, position, end, size, ends);
        continue;
      }
      while (position < end && ((kinds[position] as number) & Kind.NUMBER) === 0) position++;
      ends.push(position);
    }
  };
}

/** Isolates numbers in groups of three counted from the right (AFMoE, Aya). */
export const splitNumbersFromRight: Splitter = ({ kinds }, start, end, ends) => {
  let position = start;
  while (position < end) {
    const first = position;
    let count = 0;
    while (position < end && ((kinds[position] as number) & Kind.NUMBER) !== 0) {
      position = step(kinds, position, end);
      count++;
    }
    let at = first;
    for (let done = 0; done < count; ) {
      at = step(kinds, at, end);
      done++;
      if ((count - done) % 3 === 0) ends.push(at);
    }
    const before = position;
    while (position < end && ((kinds[position] as number) & Kind.NUMBER) === 0) position++;
    if (position > before) ends.push(position);
  }
};

/** Cuts before the white space that ends the text. */
export const splitTrailingSpace: Splitter = ({ kinds }, start, end, ends) => {
  let position = end;
  while (position > start && ((kinds[position - 1] as number) & Kind.WHITESPACE) !== 0) position--;
  if (position > start) ends.push(position);
  if (position < end) ends.push(end);
};

function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

/** Cuts where a multiple of three ASCII digits follows, up to a character that is none (SuperBPE). */
export const splitDigitsFromRight: Splitter = ({ text }, start, end, ends) => {
  let position = start;
  while (position < end) {
    const first = position;
    while (position < end && isDigit(text.charCodeAt(position))) position++;
    for (let at = first + ((position - first) % 3); at < position; at += 3) {
      if (at > start) ends.push(at);
    }
    while (position < end && !isDigit(text.charCodeAt(position))) position++;
  }
  ends.push(end);
};

/** Runs of line feeds and runs of anything else. */
export const splitLines: Splitter = ({ text }, start, end, ends) => {
  let position = start;
  while (position < end) {
    const line = text.charCodeAt(position) === LF;
    while (position < end && (text.charCodeAt(position) === LF) === line) position++;
    ends.push(position);
  }
};

function isHan(point: number): boolean {
  return (
    (point >= 0x4e00 && point <= 0x9fff) ||
    (point >= 0x3400 && point <= 0x4dbf) ||
    (point >= 0x20000 && point <= 0x2a6df) ||
    (point >= 0x2a700 && point <= 0x2ebef) ||
    (point >= 0xf900 && point <= 0xfaff) ||
    (point >= 0x2f800 && point <= 0x2fa1f)
  );
}

/** Kimi K2: Han characters apart; a word may end in a contraction. */
export const splitKimi: Splitter = ({ text, kinds }, start, end, ends) => {
  const han = (at: number) => at < end && isHan(text.codePointAt(at) ?? 0);
  const letter = (at: number) =>
    at < end && ((kinds[at] as number) & Kind.LETTER) !== 0 && !han(at);
  let position = start;
  while (position < end) {
    const unit = text.charCodeAt(position);
    const kind = kinds[position] as number;
    const next = step(kinds, position, end);
    if (han(position)) {
      while (han(position)) position = step(kinds, position, end);
    } else if ((kind & Kind.NUMBER) !== 0) {
      position = pushNumbers(kinds, position, end, 3, ends);
      continue;
    } else if (
      letter(position) ||
      (unit !== CR && unit !== LF && (kind & Kind.LETTER) === 0 && letter(next))
    ) {
      position = next;
      while (letter(position)) position = step(kinds, position, end);
      if (position < end && text.charCodeAt(position) === APOSTROPHE) {
        position += contraction(text, position, end, true);
      }
    } else {
      const ahead = unit === SPACE ? position + 1 : position;
      if (ahead < end && ((kinds[ahead] as number) & WORD) === 0) {
        position = ahead;
        while (position < end && ((kinds[position] as number) & WORD) === 0) position++;
        position = endOfLines(text, position, end);
      } else {
        position = endOfBlank(text, kinds, position, end);
      }
    }
    ends.push(position);
  }
};
