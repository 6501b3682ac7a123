/**
 * Characters as expressions over the bytes of their UTF-8 (ranges of code points become a few
 * sequences of byte ranges), written plainly or as JSON strings write them. Knows nothing of patterns.
 */
import type { Language } from '../core/derivatives.js';
import { ByteSet } from '../core/symbols.js';

/** Inclusive ranges of code points, sorted, apart from each other. */
export type Ranges = readonly (readonly [number, number])[];

export const MAX_POINT = 0x10ffff;

/** Sorted and joined, without surrogates, which no text has. */
export function normalized(ranges: Ranges): Ranges {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0]);
  const joined: [number, number][] = [];
  for (const [low, high] of sorted) {
    const last = joined[joined.length - 1];
    if (last && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else joined.push([low, high]);
  }
  return joined.flatMap(([low, high]): [number, number][] => {
    if (high < 0xd800 || low > 0xdfff) return [[low, high]];
    const parts: [number, number][] = [];
    if (low < 0xd800) parts.push([low, 0xd7ff]);
    if (high > 0xdfff) parts.push([0xe000, high]);
    return parts;
  });
}

export function complement(ranges: Ranges): Ranges {
  const result: [number, number][] = [];
  let next = 0;
  for (const [low, high] of normalized(ranges)) {
    if (low > next) result.push([next, low - 1]);
    next = high + 1;
  }
  if (next <= MAX_POINT) result.push([next, MAX_POINT]);
  return normalized(result);
}

function intersection(a: Ranges, b: Ranges): Ranges {
  return complement([...complement(a), ...complement(b)]);
}

/** The UTF-8 of code points. */
export function plainCharacters(language: Language, ranges: Ranges): number {
  const sequences: number[] = [];
  for (const [low, high] of normalized(ranges)) {
    for (const [first, last] of [
      [0, 0x7f],
      [0x80, 0x7ff],
      [0x800, 0xffff],
      [0x10000, MAX_POINT],
    ] as const) {
      const from = Math.max(low, first);
      const to = Math.min(high, last);
      if (from <= to) splitRange(language, from, to, sequences);
    }
  }
  return language.either(sequences);
}

function encode(point: number): Uint8Array {
  return new TextEncoder().encode(String.fromCodePoint(point));
}

/** Splits a range of one encoded length until every byte is a range of its own. */
function splitRange(language: Language, low: number, high: number, out: number[]): void {
  for (let bits = 6; bits <= 18; bits += 6) {
    const mask = (1 << bits) - 1;
    if (low >> bits === high >> bits) break;
    if ((low & mask) !== 0) {
      splitRange(language, low, low | mask, out);
      splitRange(language, (low | mask) + 1, high, out);
      return;
    }
    if ((high & mask) !== mask) {
      splitRange(language, low, (high & ~mask) - 1, out);
      splitRange(language, high & ~mask, high, out);
      return;
    }
  }
  // Bounds may be surrogates only when a caller did not normalise; they are removed there.
  const first = encode(low);
  const last = encode(high);
  const parts = [...first].map((byte, index) =>
    language.set(ByteSet.of([byte, last[index] as number])),
  );
  out.push(language.concat(...parts));
}

const shortEscapes: Readonly<Record<number, string>> = {
  8: '\\b',
  9: '\\t',
  10: '\\n',
  12: '\\f',
  13: '\\r',
  34: '\\"',
  92: '\\\\',
};

/** A text as `JSON.stringify` writes it, without the quotes. */
export function jsonContent(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

const mustEscape: Ranges = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];

/** Code points as `JSON.stringify` writes them inside a string: one spelling each. */
export function jsonCharacters(language: Language, ranges: Ranges): number {
  const parts = [plainCharacters(language, intersection(ranges, complement(mustEscape)))];
  for (const [low, high] of intersection(ranges, mustEscape)) {
    for (let point = low; point <= high; point++) {
      const short = shortEscapes[point];
      parts.push(language.literal(short ?? `\\u${point.toString(16).padStart(4, '0')}`));
    }
  }
  return language.either(parts);
}

/** Any character of a JSON string in any spelling that JSON has; each counts as one character. */
export function anyJsonCharacter(language: Language): number {
  const hex = language.set(ByteSet.of([0x30, 0x39], [0x41, 0x46], [0x61, 0x66]));
  const octal = (low: number, high: number) => language.set(ByteSet.of([low, high]));
  const d = language.set(ByteSet.of([0x44, 0x44], [0x64, 0x64]));
  const notD = language.set(
    ByteSet.of([0x30, 0x39], [0x41, 0x43], [0x45, 0x46], [0x61, 0x63], [0x65, 0x66]),
  );
  const highHalf = language.set(ByteSet.of([0x38, 0x39], [0x41, 0x42], [0x61, 0x62]));
  const lowHalf = language.set(ByteSet.of([0x43, 0x46], [0x63, 0x66]));
  const unit = language.literal('u');
  const escaped = language.either([
    language.set(
      ByteSet.of(
        ...[...'"\\/bfnrt'].map((c): [number, number] => [c.charCodeAt(0), c.charCodeAt(0)]),
      ),
    ),
    language.concat(unit, notD, hex, hex, hex),
    language.concat(unit, d, octal(0x30, 0x37), hex, hex),
    // A pair of surrogates is one character; half a pair is none.
    language.concat(unit, d, highHalf, hex, hex, language.literal('\\u'), d, lowHalf, hex, hex),
  ]);
  const plain = plainCharacters(language, complement(mustEscape));
  const character = language.either([plain, language.concat(language.literal('\\'), escaped)]);
  language.characterNames.set(character, 'json');
  return character;
}
