/**
 * Pre-tokenizers that are regular expressions. Two dialects, as in the reference:
 * `categoryPattern` runs over a text in which every character above U+007F was replaced by a letter
 * that stands for its category, so `\p{L}` becomes a class of 53 characters; `codePointPattern`
 * runs over the text itself. In both, white space above U+007F counts as a vertical tab. Knows
 * nothing of vocabularies.
 */
import { PacelineError } from '../base/errors.js';
import type { SplitSource, Splitter } from './scanners.js';
import { Kind } from './unicode.js';

const NUMBER = '\xd1';
const LETTER = '\xd2';
const PUNCTUATION = '\xd3';
const MARK = '\xd4';
const SYMBOL = '\xd5';
const OTHER = '\xd0';
const SPACE = '\x0b';

/** Members of character classes in `categoryPattern`, to be put between brackets. */
export const chars = {
  L: `${LETTER}A-Za-z`,
  /** Letters other than a to z: the reference knows no case outside ASCII. */
  upper: `${LETTER}A-Z`,
  lower: `${LETTER}a-z`,
  N: `${NUMBER}0-9`,
  M: MARK,
  P: `${PUNCTUATION}!-#%-*,-/:-;?-@\\[-\\]_\\{\\}`,
  S: `${SYMBOL}$+<->^\`|~`,
} as const;

const letterOfKind = new Map<number, string>([
  [Kind.NUMBER, NUMBER],
  [Kind.LETTER, LETTER],
  [Kind.PUNCTUATION, PUNCTUATION],
  [Kind.MARK, MARK],
  [Kind.SYMBOL, SYMBOL],
  [Kind.WHITESPACE, SPACE],
]);

const collapsed = new WeakMap<SplitSource, string>();

/** The text as category letters, one UTF-16 unit for one; only for texts without pairs. */
function collapse(source: SplitSource): string {
  let result = collapsed.get(source);
  if (result === undefined) {
    result = collapseRange(source, 0, source.text.length);
    collapsed.set(source, result);
  }
  return result;
}

const unitOfKind = new Uint8Array(256).fill(OTHER.charCodeAt(0));
for (const [kind, letter] of letterOfKind) unitOfKind[kind] = letter.charCodeAt(0);

/** `[start, end)` as category letters, one for each code point. */
function collapseRange({ text, kinds }: SplitSource, start: number, end: number): string {
  const bytes = Buffer.allocUnsafe(end - start);
  let length = 0;
  for (let index = start; index < end; index++) {
    const kind = kinds[index] as number;
    if ((kind & Kind.TRAIL) !== 0) continue;
    const unit = text.charCodeAt(index);
    bytes[length++] = unit < 0x80 ? unit : (unitOfKind[kind] as number);
  }
  return bytes.toString('latin1', 0, length);
}

function compile(pattern: string, flags: string): RegExp {
  // JavaScript's \s knows more than the reference's, which is ASCII's.
  const ascii = pattern.replaceAll('[^\\s', '[^\\t-\\r ').replaceAll('[\\s', '[\\t-\\r ');
  return new RegExp(ascii.replaceAll('\\s', '[\\t-\\r ]').replaceAll('\\S', '[^\\t-\\r ]'), flags);
}

/** Pushes the ends of matches and of the text between them, in `subject`'s own units. */
function matchEnds(expression: RegExp, subject: string, push: (end: number) => void): void {
  let done = 0;
  expression.lastIndex = 0;
  try {
    for (;;) {
      const match = expression.exec(subject);
      if (match === null) break;
      if (match.index > done) push(match.index);
      done = match.index + match[0].length;
      if (match[0].length > 0) push(done);
      else expression.lastIndex = match.index + (expression.unicode ? pointSize(subject, done) : 1);
    }
  } catch (cause) {
    throw new PacelineError('internal', 'The text is too uniform for this pre-tokenizer', {
      hint: 'Split the text into parts of less than a megabyte.',
      details: { length: subject.length },
      cause,
    });
  }
  if (done < subject.length) push(subject.length);
}

function pointSize(text: string, index: number): number {
  return (text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1;
}

/** A splitter by a pattern over category letters (see `chars`). */
export function categoryPattern(pattern: string): Splitter {
  const expression = compile(pattern, 'g');
  return (source, start, end, ends) => {
    if (!source.astral) {
      const subject = collapse(source).slice(start, end);
      matchEnds(expression, subject, (at) => ends.push(start + at));
      return;
    }
    // Pairs became one letter: walk the text beside the matches.
    let points = 0;
    let unit = start;
    matchEnds(expression, collapseRange(source, start, end), (at) => {
      for (; points < at; points++) {
        unit++;
        if (unit < end && ((source.kinds[unit] as number) & Kind.TRAIL) !== 0) unit++;
      }
      ends.push(unit);
    });
  };
}

const wideSpace = /[\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/g;

/** A splitter by a pattern over the characters themselves. */
export function codePointPattern(pattern: string): Splitter {
  const expression = compile(pattern, 'gu');
  return ({ text }, start, end, ends) => {
    const subject = text.slice(start, end).replace(wideSpace, SPACE);
    matchEnds(expression, subject, (at) => ends.push(start + at));
  };
}
