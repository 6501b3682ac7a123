/** Python's `pprint.pformat`: a `repr` in lines of 80 characters, dictionaries in order of keys. */
import { deeper, spend } from '../budget.js';
import { SPACE, splitLines } from '../characters.js';
import { sorted } from '../compare.js';
import { isFault } from '../faults.js';
import { lengthOf, quote, toRepr } from '../text.js';
import { Dict, Tuple, typeName, type Value } from '../values.js';

const WIDTH = 80;

export function prettyPrint(value: Value): string {
  return format(value, 0, 0, 0);
}

/**
 * @param indent where the value begins in its line
 * @param allowance room that is needed behind it
 */
function format(value: Value, indent: number, allowance: number, level: number): string {
  const plain = line(value);
  if (lengthOf(plain) <= WIDTH - indent - allowance) return plain;
  return deeper(() => {
    if (value instanceof Dict) return `{${pairs(value, indent, allowance + 1, level)}}`;
    if (Array.isArray(value)) return `[${items(value, indent, allowance + 1, level)}]`;
    if (value instanceof Tuple && value.type === 'tuple') {
      const end = value.items.length === 1 ? ',)' : ')';
      return `(${items(value.items, indent, allowance + end.length, level)}${end}`;
    }
    return typeof value === 'string' ? text(value, indent, allowance, level + 1) : plain;
  });
}

/** The value in one line. */
function line(value: Value): string {
  if (value instanceof Dict) {
    return deeper(() => {
      const parts = ordered(value).map(([key, item]) => `${line(key)}: ${line(item)}`);
      return `{${parts.join(', ')}}`;
    });
  }
  if (Array.isArray(value)) return deeper(() => `[${value.map(line).join(', ')}]`);
  if (!(value instanceof Tuple)) return toRepr(value);
  const parts = value.items.map(line).join(', ');
  return value.items.length === 1 ? `(${parts},)` : `(${parts})`;
}

/** Pairs by their keys, or by the names of the keys' types where they have no order. */
function ordered(dict: Dict): (readonly [Value, Value])[] {
  const entries = [...dict.pairs()];
  try {
    return sorted(entries, ([key]) => key);
  } catch (error) {
    if (!isFault(error, 'TypeError', 'UndefinedError')) throw error;
    return sorted(entries, ([key]) => `<class '${typeName(key)}'>`);
  }
}

function items(list: readonly Value[], indent: number, allowance: number, level: number): string {
  const inner = indent + 1;
  return list
    .map((item, index) => format(item, inner, index === list.length - 1 ? allowance : 1, level + 1))
    .join(`,\n${' '.repeat(inner)}`);
}

function pairs(dict: Dict, indent: number, allowance: number, level: number): string {
  const inner = indent + 1;
  const entries = ordered(dict);
  return entries
    .map(([key, item], index) => {
      const name = line(key);
      const room = index === entries.length - 1 ? allowance : 1;
      return `${name}: ${format(item, inner + lengthOf(name) + 2, room, level + 1)}`;
    })
    .join(`,\n${' '.repeat(inner)}`);
}

const words = new RegExp(`[^${SPACE}]*[${SPACE}]*`, 'g');

/** A long text in several quotes, in parentheses where it stands alone. */
function text(value: string, start: number, allowed: number, level: number): string {
  const [indent, allowance] = level === 1 ? [start + 1, allowed + 1] : [start, allowed];
  const width = WIDTH - indent;
  const lines = splitLines(value, true);
  const chunks: string[] = [];
  lines.forEach((part, index) => {
    const isLast = index === lines.length - 1;
    const whole = quote(part);
    if (lengthOf(whole) <= (isLast ? width - allowance : width)) chunks.push(whole);
    else breakLine(part, width, isLast ? allowance : 0, chunks);
  });
  const joined = chunks.join(`\n${' '.repeat(indent)}`);
  if (chunks.length === 1) return quote(lines.at(-1) ?? '');
  return level === 1 ? `(${joined})` : joined;
}

function breakLine(part: string, width: number, allowance: number, chunks: string[]): void {
  const pieces = (part.match(words) ?? []).filter((piece) => piece !== '');
  let current = '';
  pieces.forEach((piece, index) => {
    spend(1 + current.length / 16);
    const room = index === pieces.length - 1 ? width - allowance : width;
    if (lengthOf(quote(current + piece)) <= room) {
      current += piece;
      return;
    }
    if (current !== '') chunks.push(quote(current));
    current = piece;
  });
  if (current !== '') chunks.push(quote(current));
}
