/**
 * How values are written: JSON, or the notation of a tool-call format. The expressions of the parts
 * that every value is made of. White space is bounded: at most one short run between two tokens.
 * Knows nothing of schemas.
 */

import type { Language } from '../core/derivatives.js';
import { EMPTY } from '../core/expressions.js';
import type { WhiteSpace } from '../spec.js';
import {
  anyJsonCharacter,
  jsonCharacters,
  jsonContent,
  MAX_POINT,
  plainCharacters,
  type Ranges,
} from '../text/utf8.js';
import type { Marks } from '../tokens/marks.js';
import { isObject, type Json } from './json.js';

/** How characters are written. */
export interface Spelling {
  /** The name of the spelling, for masks that constraints share. */
  readonly spelling: string;
  /** One spelling of each character in a string. */
  characters(ranges: Ranges): number;
  /** Any character of a string in any spelling. */
  readonly anyCharacter: number;
  /** A text as the content of a string. */
  content(text: string): Uint8Array;
}

/** What an object is written with. */
export interface ObjectNotation {
  readonly open: number;
  /** Between the opening and the first key, and between two members. */
  readonly first: number;
  readonly between: number;
  /** Before the closing, after members or without any. */
  readonly close: number;
  readonly closeEmpty: number;
  /** A known key as bytes, with what marks its end. */
  key(name: string): Uint8Array;
  /** Keys with this content (in the spelling of `characters`), with what marks their end. */
  keyOf(content: number): number;
  /** Between the mark of a key's end and the value. */
  readonly colon: number;
  readonly afterValue: number;
}

export interface Notation extends Spelling {
  /** A string with this content. */
  string(content: number): number;
  /** A value as the notation writes it, without white space. */
  write(value: Json): Uint8Array;
  readonly object: ObjectNotation;
  readonly arrayOpen: number;
  readonly arrayClose: number;
  readonly comma: number;
}

const encoder = new TextEncoder();

/** Characters of keys that are written without quotes. */
const identifier: Ranges = [
  [0x2d, 0x2e],
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];

/** The longest indentation that is accepted, in spaces and in tabs. */
const SPACES = 40;
const TABS = 10;

/** A run of white space between two tokens of JSON: nothing, a space, or one new line, indented. */
export function whiteSpace(language: Language, kind: WhiteSpace): number {
  if (kind === 'none') return EMPTY;
  const space = language.literal(' ');
  return language.optional(
    language.either([
      space,
      language.concat(
        language.literal('\n'),
        language.either([
          language.repeat(space, 0, SPACES),
          language.repeat(language.literal('\t'), 1, TABS),
        ]),
      ),
    ]),
  );
}

export function jsonNotation(language: Language, space: WhiteSpace): Notation {
  const white = whiteSpace(language, space);
  const quote = language.literal('"');
  const anyCharacter = anyJsonCharacter(language);
  const comma = language.concat(white, language.literal(','), white);
  const close = language.concat(white, language.literal('}'));
  return {
    spelling: 'json',
    characters: (ranges) => jsonCharacters(language, ranges),
    anyCharacter,
    string: (content) => language.concat(quote, content, quote),
    content: (text) => encoder.encode(jsonContent(text)),
    write: (value) => encoder.encode(JSON.stringify(value)),
    object: {
      open: language.literal('{'),
      first: white,
      between: comma,
      close,
      closeEmpty: close,
      key: (name) => encoder.encode(`"${jsonContent(name)}"`),
      keyOf: (content) => language.concat(quote, content, quote),
      colon: language.concat(white, language.literal(':'), white),
      afterValue: EMPTY,
    },
    arrayOpen: language.concat(language.literal('['), white),
    arrayClose: language.concat(white, language.literal(']')),
    comma,
  };
}

/** Text as it is, without quotes or escapes. */
export function plainSpelling(language: Language): Spelling {
  const anyCharacter = plainCharacters(language, [[0, MAX_POINT]]);
  language.characterNames.set(anyCharacter, 'plain any');
  return {
    spelling: 'plain',
    anyCharacter,
    characters: (ranges) => plainCharacters(language, ranges),
    content: (text) => encoder.encode(text),
  };
}

/** Gemma's notation: bare keys, strings between marks that are tokens of their own. */
export function gemmaNotation(language: Language, marks: Marks): Notation {
  const quoteText = '<|"|>';
  const quote = marks.mark(quoteText);
  const plain = plainSpelling(language);
  const brace = language.literal('}');
  const key = (name: string) => `${name}:`;
  const write = (value: Json): string => {
    if (typeof value === 'string') return `${quoteText}${value}${quoteText}`;
    if (Array.isArray(value)) return `[${value.map(write).join(',')}]`;
    if (!isObject(value)) return JSON.stringify(value);
    const members = Object.keys(value).sort();
    return `{${members.map((name) => key(name) + write(value[name] as Json)).join(',')}}`;
  };
  const inside = withoutText(language, quoteText);
  return {
    ...plain,
    string: (content) =>
      content === language.repeat(plain.anyCharacter, 0)
        ? language.concat(quote, marks.textBefore(quoteText))
        : language.concat(quote, language.both([content, inside]), quote),
    write: (value) => encoder.encode(write(value)),
    object: {
      open: language.literal('{'),
      first: EMPTY,
      between: language.literal(','),
      close: brace,
      closeEmpty: brace,
      key: (name) => encoder.encode(key(name)),
      keyOf: (content) => {
        const name = plainCharacters(language, identifier);
        return language.concat(
          language.both([content, language.repeat(name, 1, 64)]),
          language.literal(':'),
        );
      },
      colon: EMPTY,
      afterValue: EMPTY,
    },
    arrayOpen: language.literal('['),
    arrayClose: language.literal(']'),
    comma: language.literal(','),
  };
}

/** Texts in which another does not occur. */
export function withoutText(language: Language, text: string): number {
  const everything = language.anything();
  return language.not(language.concat(everything, language.literal(text), everything));
}
