/**
 * Tokens that consist of one kind of character alone, by how many: what a mask inside a string is
 * mostly made of. For the common kinds they are found by looking at bytes, when a vocabulary is
 * indexed. Knows nothing of languages.
 */
import type { TokenMask } from '../constraint.js';
import { buildTrie, type TokenTexts, type TokenTrie } from './token-trie.js';

/** Lengths up to this one have masks of their own. */
export const LENGTHS = 16;

/** Tokens of whole characters of one kind. */
export interface CharacterTokens {
  /** Masks by length: at index n, tokens of at most n characters; the last one has all of them. */
  readonly byLength: readonly TokenMask[];
  /** Tokens of more than `LENGTHS` characters, with their lengths. */
  readonly long: readonly { readonly token: number; readonly length: number }[];
  readonly longest: number;
  /** All other tokens. */
  readonly rest: TokenTrie;
}

interface Tokens {
  readonly size: number;
  readonly words: number;
  readonly sorted: Int32Array;
  readonly texts: TokenTexts;
}

/** Sorts tokens by their lengths in characters of a kind (-1: not of it). */
export function characterTokens(tokens: Tokens, lengths: Int32Array): CharacterTokens {
  const byLength = Array.from({ length: LENGTHS + 2 }, () => new Uint32Array(tokens.words));
  const long: { token: number; length: number }[] = [];
  let longest = 0;
  const rest = new Int32Array(tokens.sorted.length);
  let others = 0;
  for (const token of tokens.sorted) {
    const length = lengths[token] as number;
    if (length < 0) {
      rest[others++] = token;
      continue;
    }
    if (length > longest) longest = length;
    if (length > LENGTHS) long.push({ token, length });
    const mask = byLength[Math.min(length, LENGTHS + 1)] as TokenMask;
    mask[token >>> 5] = (mask[token >>> 5] as number) | (1 << (token & 31));
  }
  for (let most = 1; most < byLength.length; most++) {
    const [shorter, mask] = [byLength[most - 1] as TokenMask, byLength[most] as TokenMask];
    for (let word = 0; word < mask.length; word++) {
      mask[word] = (mask[word] as number) | (shorter[word] as number);
    }
  }
  return { byLength, long, longest, rest: buildTrie(rest.subarray(0, others), tokens.texts) };
}

/** Lengths of tokens that are whole characters; -1 for others, and for those with `special` bytes. */
function plainLengths({ size, texts }: Tokens, special: Uint8Array): Int32Array {
  const { bytes, starts } = texts;
  const lengths = new Int32Array(size).fill(-1);
  for (let token = 0; token < size; token++) {
    const end = starts[token + 1] as number;
    let at = starts[token] as number;
    if (at === end) continue;
    let count = 0;
    while (at < end) {
      const step = characterLength(bytes, at, end);
      if (step === 0 || special[bytes[at] as number] === 1) break;
      at += step;
      count++;
    }
    if (at >= end) lengths[token] = count;
  }
  return lengths;
}

/** 1 for tokens without any of some bytes, -1 for others and for those without any bytes. */
export function lengthsWithout({ size, texts }: Tokens, bytes: readonly number[]): Int32Array {
  const excluded = new Uint8Array(256);
  for (const byte of bytes) excluded[byte] = 1;
  const lengths = new Int32Array(size).fill(-1);
  for (let token = 0; token < size; token++) {
    const end = texts.starts[token + 1] as number;
    let at = texts.starts[token] as number;
    if (at === end) continue;
    while (at < end && excluded[texts.bytes[at] as number] === 0) at++;
    if (at === end) lengths[token] = 1;
  }
  return lengths;
}

/** Bytes of the well-formed character that begins here, or 0. */
function characterLength(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at] as number;
  if (first < 0x80) return 1;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > end) return 0;
  for (let index = 1; index < length; index++) {
    if (((bytes[at + index] as number) & 0xc0) !== 0x80) return 0;
  }
  const second = bytes[at + 1] as number;
  // Overlong forms, surrogates, and what lies beyond Unicode.
  if ((first === 0xe0 && second < 0xa0) || (first === 0xed && second > 0x9f)) return 0;
  if ((first === 0xf0 && second < 0x90) || (first === 0xf4 && second > 0x8f)) return 0;
  return length;
}

/** The kinds that nearly every constraint has, by the names that their expressions get. */
export function commonCharacters(tokens: Tokens): Map<string, CharacterTokens> {
  const escaped = new Uint8Array(256).fill(1, 0, 0x20);
  escaped[0x22] = 1;
  escaped[0x5c] = 1;
  const json = characterTokens(tokens, plainLengths(tokens, escaped));
  const plain = characterTokens(tokens, plainLengths(tokens, new Uint8Array(256)));
  // Tokens with escapes are left to the walk, so that both spellings of JSON have these.
  return new Map([
    ['json', json],
    ['json any', json],
    ['plain any', plain],
  ]);
}
