/**
 * The methods of str, by their Python signatures. Methods of Markup are the same ones: what they
 * give is Markup again, and what they put in is escaped first.
 */
import { bind, type Signature, signature } from './arguments.js';
import { spend, spendItems, spendText } from './budget.js';
import {
  capitalize,
  caseFold,
  classTests,
  SPACE,
  splitLines,
  swapped,
  titled,
  words,
} from './characters.js';
import { typeFault, valueFault } from './faults.js';
import { escapeText } from './html.js';
import { requireCount, requireWidth } from './numbers.js';
import { each } from './sequences.js';
import { lengthOf, pointIndex, sliceText } from './text.js';
import {
  Callable,
  Dict,
  type Keywords,
  Markup,
  Tuple,
  textOf,
  typeName,
  type Value,
} from './values.js';

type Method = (text: string, ...values: Value[]) => Value;

/** A str argument's text. @throws {Fault} `TypeError` */
export function requireText(value: Value, what = 'argument'): string {
  const text = textOf(value);
  if (text === undefined) throw typeFault(`${what} must be str, not ${typeName(value)}`);
  return text;
}

const methods = new Map<string, { signature: Signature; run: Method }>();

function define(name: string, parameters: string, run: Method): void {
  methods.set(name, { signature: signature(name, parameters), run });
}

for (const [name, test] of Object.entries(classTests)) {
  define(name, '', (text) => {
    spend(text.length / 8);
    return test(text);
  });
}

const mapped =
  (change: (text: string) => string): Method =>
  (text) => {
    spendText(text.length);
    return change(text);
  };

define('capitalize', '', mapped(capitalize));
define('casefold', '', mapped(caseFold));
define(
  'lower',
  '',
  mapped((text) => text.toLowerCase()),
);
define(
  'upper',
  '',
  mapped((text) => text.toUpperCase()),
);
define('title', '', mapped(titled));
define('swapcase', '', mapped(swapped));

/** Strips white space, or characters of a set, from one end or both. */
function strip(text: string, characters: Value, ends: 'left' | 'right' | 'both'): string {
  spend(text.length / 16);
  let set: string;
  if (characters === null) set = SPACE;
  else {
    const chosen = requireText(characters, 'strip arg');
    if (chosen === '') return text;
    set = Array.from(
      chosen,
      (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
    ).join('');
  }
  const one = new RegExp(`^[${set}]$`, 'u');
  let [start, end] = [0, text.length];
  if (ends !== 'right') {
    while (start < end) {
      const character = String.fromCodePoint(text.codePointAt(start) ?? 0);
      if (!one.test(character)) break;
      start += character.length;
    }
  }
  if (ends !== 'left') {
    while (end > start) {
      const pair =
        end - start > 1 && /^[\ud800-\udbff][\udc00-\udfff]$/.test(text.slice(end - 2, end));
      const character = text.slice(end - (pair ? 2 : 1), end);
      if (!one.test(character)) break;
      end -= character.length;
    }
  }
  return text.slice(start, end);
}

define('strip', 'chars=None, /', (text, set) => strip(text, set, 'both'));
define('lstrip', 'chars=None, /', (text, set) => strip(text, set, 'left'));
define('rstrip', 'chars=None, /', (text, set) => strip(text, set, 'right'));

/** `sep.join(items)`. */
define('join', 'iterable, /', (text, items) => {
  const parts: string[] = [];
  for (const item of each(items)) {
    const part = textOf(item);
    if (part === undefined) {
      throw typeFault(
        `sequence item ${parts.length}: expected str instance, ${typeName(item)} found`,
      );
    }
    spendText(part.length + text.length);
    parts.push(part);
  }
  return parts.join(text);
});

/** Splits at a separator at most `limit` times from the left; negative: always. */
function splitAt(text: string, separator: string, limit: number): string[] {
  if (separator === '') throw valueFault('empty separator');
  spend(text.length / 32);
  if (limit < 0) {
    const parts = text.split(separator);
    spendItems(parts.length);
    return parts;
  }
  const parts: string[] = [];
  let start = 0;
  while (parts.length < limit) {
    const at = text.indexOf(separator, start);
    if (at < 0) break;
    parts.push(text.slice(start, at));
    start = at + separator.length;
  }
  parts.push(text.slice(start));
  spendItems(parts.length);
  return parts;
}

function splitFromRight(text: string, separator: string, limit: number): string[] {
  if (limit < 0) return splitAt(text, separator, limit);
  if (separator === '') throw valueFault('empty separator');
  spend(text.length / 32);
  const parts: string[] = [];
  let end = text.length;
  while (parts.length < limit) {
    const at = end < separator.length ? -1 : text.lastIndexOf(separator, end - separator.length);
    if (at < 0) break;
    parts.unshift(text.slice(at + separator.length, end));
    end = at;
  }
  parts.unshift(text.slice(0, end));
  spendItems(parts.length);
  return parts;
}

const space = new RegExp(`[${SPACE}]+`);

/** Where the last word of a text begins. */
function lastWordStart(text: string): number {
  let at = text.length;
  while (at > 0 && !space.test(text.charAt(at - 1))) at--;
  return at;
}

/** Splits at white space at most `limit` times; the rest keeps its own. */
function splitWords(text: string, limit: number, fromRight: boolean): string[] {
  spend(text.length / 16);
  if (limit < 0) {
    const all = words(text);
    spendItems(all.length);
    return all;
  }
  const parts: string[] = [];
  let rest = strip(text, null, fromRight ? 'right' : 'left');
  while (rest !== '' && parts.length < limit) {
    spend(1 + rest.length / 32);
    const at = fromRight ? lastWordStart(rest) : rest.search(space);
    if (fromRight) {
      parts.unshift(rest.slice(at));
      rest = strip(rest.slice(0, at), null, 'right');
    } else {
      parts.push(at < 0 ? rest : rest.slice(0, at));
      rest = at < 0 ? '' : strip(rest.slice(at), null, 'left');
    }
  }
  if (rest !== '') {
    if (fromRight) parts.unshift(rest);
    else parts.push(rest);
  }
  return parts;
}

define('split', 'sep=None, maxsplit=-1', (text, separator, limit) => {
  const count = requireCount(limit);
  if (separator === null) return splitWords(text, count, false);
  return splitAt(text, requireText(separator), count);
});
define('rsplit', 'sep=None, maxsplit=-1', (text, separator, limit) => {
  const count = requireCount(limit);
  if (separator === null) return splitWords(text, count, true);
  return splitFromRight(text, requireText(separator), count);
});
define('splitlines', 'keepends=False', (text, keep) => {
  spend(text.length / 16);
  const lines = splitLines(text, requireCount(keep) !== 0);
  spendItems(lines.length);
  return lines;
});

function partition(text: string, separator: Value, fromRight: boolean): Tuple {
  const part = requireText(separator);
  if (part === '') throw valueFault('empty separator');
  spend(text.length / 32);
  const at = fromRight ? text.lastIndexOf(part) : text.indexOf(part);
  if (at < 0) return new Tuple(fromRight ? ['', '', text] : [text, '', '']);
  return new Tuple([text.slice(0, at), part, text.slice(at + part.length)]);
}

define('partition', 'sep, /', (text, separator) => partition(text, separator, false));
define('rpartition', 'sep, /', (text, separator) => partition(text, separator, true));

/** Replaces at most `limit` times; negative: always. */
export function replaceText(text: string, old: string, fresh: string, limit: number): string {
  if (limit === 0 || (old === '' && limit < 0 && text === '' && fresh === '')) return text;
  if (old === '') {
    const all = Array.from(text);
    const count = limit < 0 ? all.length + 1 : Math.min(limit, all.length + 1);
    spendText(text.length + count * fresh.length);
    let result = '';
    for (let index = 0; index <= all.length; index++) {
      result += (index < count ? fresh : '') + (all[index] ?? '');
    }
    return result;
  }
  const parts = splitAt(text, old, limit);
  spendText(text.length + (parts.length - 1) * (fresh.length - old.length));
  return parts.length === 1 ? text : parts.join(fresh);
}

define('replace', 'old, new, count=-1, /', (text, old, fresh, limit) =>
  replaceText(text, requireText(old), requireText(fresh), requireCount(limit)),
);
define('removeprefix', 'prefix, /', (text, prefix) => {
  const part = requireText(prefix);
  return text.startsWith(part) ? text.slice(part.length) : text;
});
define('removesuffix', 'suffix, /', (text, suffix) => {
  const part = requireText(suffix);
  return part !== '' && text.endsWith(part) ? text.slice(0, -part.length) : text;
});

/** The part of a text that start and end choose, with its offset in code points. */
function window(
  text: string,
  start: Value,
  end: Value,
): { part: string; offset: number } | undefined {
  if (start === null && end === null) return { part: text, offset: 0 };
  const length = lengthOf(text);
  const place = (value: Value, otherwise: number) => {
    if (value === null) return otherwise;
    const index = requireCount(value);
    return index < 0 ? Math.max(0, index + length) : index;
  };
  const from = place(start, 0);
  const to = Math.min(place(end, length), length);
  if (from > to) return undefined;
  return { part: sliceText(text, from, to), offset: from };
}

function affix(text: string, wanted: Value, start: Value, end: Value, atEnd: boolean): boolean {
  const options = wanted instanceof Tuple ? wanted.items : [wanted];
  const found = window(text, start, end);
  return options.some((option) => {
    const name = atEnd ? 'endswith' : 'startswith';
    const part = requireText(option, `${name} first arg`);
    spend(1 + part.length / 32);
    if (found === undefined) return false;
    return atEnd ? found.part.endsWith(part) : found.part.startsWith(part);
  });
}

const ranged = 'sub, start=None, end=None, /';
define('startswith', ranged, (text, part, start, end) => affix(text, part, start, end, false));
define('endswith', ranged, (text, part, start, end) => affix(text, part, start, end, true));

function find(text: string, sub: Value, start: Value, end: Value, fromRight: boolean): bigint {
  const part = requireText(sub);
  const found = window(text, start, end);
  spend(text.length / 32);
  if (found === undefined) return -1n;
  const at = fromRight ? found.part.lastIndexOf(part) : found.part.indexOf(part);
  return at < 0 ? -1n : BigInt(found.offset + pointIndex(found.part, at));
}

for (const [name, fromRight] of [
  ['find', false],
  ['rfind', true],
] as const) {
  define(name, ranged, (text, part, start, end) => find(text, part, start, end, fromRight));
}
for (const [name, fromRight] of [
  ['index', false],
  ['rindex', true],
] as const) {
  define(name, ranged, (text, part, start, end) => {
    const at = find(text, part, start, end, fromRight);
    if (at < 0n) throw valueFault('substring not found');
    return at;
  });
}
define('count', ranged, (text, sub, start, end) => {
  const part = requireText(sub);
  const found = window(text, start, end);
  if (found === undefined) return 0n;
  if (part === '') return BigInt(lengthOf(found.part) + 1);
  return BigInt(splitAt(found.part, part, -1).length - 1);
});

/** Fills a text up to a width. */
export function pad(
  text: string,
  width: Value,
  fill: string,
  side: 'left' | 'right' | 'center',
): string {
  const missing = requireWidth(width) - lengthOf(text);
  if (lengthOf(fill) !== 1) {
    throw typeFault('The fill character must be exactly one character long');
  }
  if (missing <= 0) return text;
  spendText(missing);
  // Python puts the odd one to the left only where the width is odd.
  const left = Math.floor(missing / 2) + (missing & Number(requireWidth(width)) & 1);
  const before = side === 'left' ? 0 : side === 'right' ? missing : left;
  return fill.repeat(before) + text + fill.repeat(missing - before);
}

for (const [name, side] of [
  ['ljust', 'left'],
  ['rjust', 'right'],
  ['center', 'center'],
] as const) {
  define(name, "width, fillchar=' ', /", (text, width, fill) =>
    pad(text, width, requireText(fill), side),
  );
}
define('zfill', 'width, /', (text, width) => {
  const missing = requireWidth(width) - lengthOf(text);
  if (missing <= 0) return text;
  spendText(missing);
  const sign = /^[+-]/.test(text) ? text.charAt(0) : '';
  return sign + '0'.repeat(missing) + text.slice(sign.length);
});
define('expandtabs', 'tabsize=8', (text, size) => {
  const width = requireCount(size);
  let result = '';
  let column = 0;
  for (const character of text) {
    spend();
    if (character === '\t') {
      const count = width > 0 ? width - (column % width) : 0;
      spendText(count);
      result += ' '.repeat(count);
      column += count;
    } else {
      result += character;
      column = character === '\n' || character === '\r' ? 0 : column + 1;
    }
  }
  return result;
});
define('translate', 'table, /', (text, table) => {
  let result = '';
  for (const character of text) {
    spend();
    const code = BigInt(character.codePointAt(0) ?? 0);
    const value = table instanceof Dict ? table.get(code) : undefined;
    if (value === null) continue;
    if (value === undefined) result += character;
    else
      result +=
        typeof value === 'bigint' ? String.fromCodePoint(Number(value)) : requireText(value);
  }
  return result;
});

/** Arguments of Markup's methods that are escaped before they are put in, by position. */
const escapedArguments: Readonly<Record<string, number>> = {
  replace: 1,
  ljust: 1,
  rjust: 1,
  center: 1,
};
/** Methods of Markup whose texts are Markup again. */
const plainResults = new Set(['encode', 'format', 'format_map']);

/** A method bound to a text, or undefined where str has none of that name. */
export function stringMethod(owner: string | Markup, name: string): Callable | undefined {
  const method = methods.get(name);
  if (!method) return undefined;
  return new Callable(name, (args, keywords) => runMethod(owner, method, args, keywords));
}

function runMethod(
  owner: string | Markup,
  method: { signature: Signature; run: Method },
  args: readonly Value[],
  keywords: Keywords,
): Value {
  spend();
  const values = bind(method.signature, args, keywords);
  if (typeof owner === 'string') return method.run(owner, ...values);
  const { name } = method.signature;
  const position = escapedArguments[name];
  if (position !== undefined) values[position] = escapeText(values[position] as Value).text;
  if (name === 'join') {
    return new Markup(
      requireText(method.run(owner.text, Array.from(each(values[0] as Value), escapeText))),
    );
  }
  const result = method.run(owner.text, ...values);
  return plainResults.has(name) ? result : asMarkup(result);
}

function asMarkup(value: Value): Value {
  if (typeof value === 'string') return new Markup(value);
  if (Array.isArray(value)) return value.map(asMarkup);
  return value instanceof Tuple ? new Tuple(value.items.map(asMarkup)) : value;
}
