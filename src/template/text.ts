/**
 * Python's `str` and `repr`, and strings as sequences of code points. JavaScript's strings count
 * UTF-16 units, which is the same for most texts; the others are taken apart.
 */
import { deeper, spend, spendItems, spendText } from './budget.js';
import { floatText } from './decimals.js';
import { intText } from './numbers.js';
import {
  Callable,
  Dict,
  DictView,
  JinjaObject,
  Markup,
  Namespace,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js';

/** `str(value)`. */
export function toText(value: Value): string {
  if (typeof value === 'string') return value;
  if (value instanceof Markup) return value.text;
  if (value instanceof Undefined) return '';
  return toRepr(value);
}

/** `repr(value)`. */
export function toRepr(value: Value): string {
  spend();
  if (value === null) return 'None';
  switch (typeof value) {
    case 'string':
      return quote(value);
    case 'boolean':
      return value ? 'True' : 'False';
    case 'bigint':
      return intText(value);
    case 'number':
      return floatText(value);
    default:
      return deeper(() => instanceText(value));
  }
}

function instanceText(value: Exclude<Value, null | string | boolean | bigint | number>): string {
  if (Array.isArray(value)) return `[${joined(value)}]`;
  if (value instanceof Tuple) {
    return value.items.length === 1 ? `(${joined(value.items)},)` : `(${joined(value.items)})`;
  }
  if (value instanceof Dict) {
    const pairs = Array.from(value.pairs(), ([key, item]) => `${toRepr(key)}: ${toRepr(item)}`);
    return counted(`{${pairs.join(', ')}}`);
  }
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof Markup) return `Markup(${quote(value.text)})`;
  if (value instanceof DictView) return `${value.type}([${joined(value.list())}])`;
  if (value instanceof Range) {
    const step = value.step === 1n ? '' : `, ${value.step}`;
    return `range(${value.start}, ${value.stop}${step})`;
  }
  if (value instanceof Namespace) return `<Namespace ${toRepr(value.attributes)}>`;
  if (value instanceof JinjaObject) return value.repr();
  if (value instanceof Callable) return `<built-in function ${value.name}>`;
  return `<${typeName(value)} object>`;
}

const joined = (items: readonly Value[]) => counted(items.map(toRepr).join(', '));

function counted(text: string): string {
  spendText(text.length);
  return text;
}

/** What Python writes as itself in a `repr`. */
const printable = /^[ -~\p{L}\p{M}\p{N}\p{P}\p{S}]*$/u;
const plain = /^[ !#-&(-[\]-~]*$/;

/** The text in quotes as `repr` writes it. */
export function quote(text: string): string {
  spendText(text.length);
  if (plain.test(text)) return `'${text}'`;
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  let result = '';
  for (const character of text) {
    result += character === mark ? `\\${mark}` : escaped(character);
  }
  return mark + result + mark;
}

function escaped(character: string): string {
  if (character === '\\') return '\\\\';
  if (character === '\n') return '\\n';
  if (character === '\r') return '\\r';
  if (character === '\t') return '\\t';
  if (printable.test(character)) return character;
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, '0')}`;
  return `\\U${code.toString(16).padStart(8, '0')}`;
}

const surrogate = /[\ud800-\udfff]/;

let lastChecked = '';
let lastPlain = true;

/** Whether every code point is one unit, so that indices are the same. */
export function isPlain(text: string): boolean {
  if (text.length === lastChecked.length && text === lastChecked) return lastPlain;
  spend(text.length / 64);
  lastPlain = !surrogate.test(text);
  lastChecked = text;
  return lastPlain;
}

/** The text's characters, one string a code point. */
export function characters(text: string): string[] {
  spendItems(text.length);
  if (isPlain(text)) return text.split('');
  spend(text.length);
  return Array.from(text);
}

/** The number of code points. */
export function lengthOf(text: string): number {
  if (isPlain(text)) return text.length;
  let count = 0;
  for (const _ of text) count++;
  spend(count);
  return count;
}

/** Code points `start` to `end`, both within the text. */
export function sliceText(text: string, start: number, end?: number): string {
  if (isPlain(text)) return text.slice(start, end);
  return characters(text).slice(start, end).join('');
}

/** The index in code points of an offset in units. */
export function pointIndex(text: string, offset: number): number {
  return isPlain(text) ? offset : lengthOf(text.slice(0, offset));
}

/** Negative, zero or positive, as the texts' code points compare. */
export function compareText(left: string, right: string): number {
  if (left === right) return 0;
  if (isPlain(left) && isPlain(right)) return left < right ? -1 : 1;
  const [a, b] = [characters(left), characters(right)];
  for (let index = 0; index < a.length && index < b.length; index++) {
    const difference =
      ((a[index] as string).codePointAt(0) ?? 0) - ((b[index] as string).codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
