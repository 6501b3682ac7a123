/**
 * The named classes of characters of ECMA-262: \d, \w, \s, the dot, and the general categories of
 * Unicode that one letter names. Data only.
 */
import { categoryRuns } from '../../tokenizer/unicode-table.js';
import { complement, type Ranges } from '../text/utf8.js';

export const digits: Ranges = [[0x30, 0x39]];

export const wordCharacters: Ranges = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];

export const spaces: Ranges = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];

/** What the dot matches: everything but the ends of lines. */
export const anyCharacter: Ranges = complement([
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]);

const letters: Readonly<Record<string, string>> = {
  L: 'l',
  Letter: 'l',
  N: 'n',
  Number: 'n',
  Z: 'z',
  Separator: 'z',
  M: 'm',
  Mark: 'm',
  P: 'p',
  Punctuation: 'p',
  S: 's',
  Symbol: 's',
};

const cache = new Map<string, Ranges>();

/** The code points of a property as `\p{...}` names it; undefined: not one of those known here. */
export function propertyRanges(name: string): Ranges | undefined {
  const plain = name.replace(/^(General_Category|gc)=/, '');
  if (plain === 'Any') return [[0, 0x10ffff]];
  if (plain === 'ASCII') return [[0, 0x7f]];
  const letter = Object.hasOwn(letters, plain) ? letters[plain] : undefined;
  if (letter === undefined) return undefined;
  let ranges = cache.get(letter);
  if (!ranges) {
    ranges = rangesOf(letter);
    cache.set(letter, ranges);
  }
  return ranges;
}

function rangesOf(wanted: string): Ranges {
  const ranges: [number, number][] = [];
  let point = 0;
  for (const [, letter, length] of categoryRuns.matchAll(/([a-z])([0-9A-V]*)/g)) {
    const count = length === '' ? 1 : Number.parseInt(length as string, 32);
    if (letter === wanted) ranges.push([point, point + count - 1]);
    point += count;
  }
  return ranges;
}
