/**
 * `'{0.name!r:>{width}}'.format(...)` as Jinja's sandbox does it: attributes and items are looked
 * up as templates look them up, so that a format cannot reach what a template cannot.
 */
import { spend, spendText } from './budget.js';
import { Fault, typeFault, valueFault } from './faults.js';
import { formatValue } from './format-spec.js';
import { escapeString } from './html.js';
import { itemOf } from './sequences.js';
import { quote, toRepr, toText } from './text.js';
import { type Keywords, Markup, type Value } from './values.js';

/** How a template looks up `value.name` and `value[key]`. */
export interface Lookup {
  attribute(value: Value, name: string): Value;
  item(value: Value, key: Value): Value;
}

interface Job {
  readonly args: readonly Value[];
  /** A map of keywords, or any value for `format_map`. */
  readonly named: Keywords | Value;
  readonly lookup: Lookup;
  /** Markup escapes what it takes in. */
  readonly escapes: boolean;
  next: number;
  manual: boolean;
}

/** Formats by position and by name; a mapping takes the place of the names for `format_map`. */
export function formatString(
  owner: string | Markup,
  args: readonly Value[],
  named: Keywords | Value,
  lookup: Lookup,
): Value {
  const escapes = owner instanceof Markup;
  const text = escapes ? owner.text : owner;
  const job: Job = { args, named, lookup, escapes, next: 0, manual: false };
  const result = expand(text, job, 2);
  return escapes ? new Markup(result) : result;
}

/** @param depth how often replacement fields may still hold others */
function expand(text: string, job: Job, depth: number): string {
  if (depth < 0) throw valueFault('Max string recursion exceeded');
  let result = '';
  let at = 0;
  while (at < text.length) {
    spend();
    const brace = text.slice(at).search(/[{}]/);
    spend((text.length - at) / 64);
    if (brace < 0) break;
    const start = at + brace;
    result += text.slice(at, start);
    const character = text.charAt(start);
    if (text.charAt(start + 1) === character) {
      result += character;
      at = start + 2;
    } else if (character === '}') {
      throw valueFault("Single '}' encountered in format string");
    } else {
      const end = fieldEnd(text, start + 1);
      result += field(text.slice(start + 1, end), job, depth);
      spendText(result.length / 64);
      at = end + 1;
    }
  }
  return result + text.slice(at);
}

/** The place of the brace that closes a field. */
function fieldEnd(text: string, start: number): number {
  let open = 1;
  let inBrackets = false;
  if (start >= text.length) throw valueFault("Single '{' encountered in format string");
  for (let at = start; at < text.length; at++) {
    spend();
    const character = text.charAt(at);
    if (open === 1 && character === '[') inBrackets = true;
    else if (character === ']') inBrackets = false;
    else if (inBrackets) continue;
    else if (character === '{') open++;
    else if (character === '}' && --open === 0) return at;
  }
  throw valueFault("expected '}' before end of string");
}

function field(text: string, job: Job, depth: number): string {
  const match = /^((?:[^[\]!:{}]|\[[^\]]*\]?)*)(?:!([^:]*))?(?::(.*))?$/s.exec(text);
  if (!match) throw valueFault(`bad field '${text}' in format string`);
  const [, path = '', conversion, spec = ''] = match;
  let value = lookUp(path, job);
  if (conversion !== undefined) value = convert(value, conversion);
  const expanded = expand(spec, job, depth - 1);
  if (!job.escapes) return formatValue(value, expanded);
  if (value instanceof Markup) {
    if (expanded !== '') throw valueFault('Unsupported format specification for Markup.');
    return value.text;
  }
  return escapeString(formatValue(value, expanded));
}

function convert(value: Value, conversion: string): Value {
  if (conversion === 'r') return toRepr(value);
  if (conversion === 's') return toText(value);
  if (conversion === 'a') return asciiRepr(value);
  throw valueFault(`Unknown conversion specifier ${quote(conversion)}`);
}

/** `ascii(value)`. */
export function asciiRepr(value: Value): string {
  return toRepr(value).replace(/[^\0-\x7f]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const hex = (length: number) => code.toString(16).padStart(length, '0');
    if (code < 0x100) return `\\x${hex(2)}`;
    return code < 0x10000 ? `\\u${hex(4)}` : `\\U${hex(8)}`;
  });
}

function lookUp(path: string, job: Job): Value {
  const first = /^[^.[]*/.exec(path)?.[0] ?? '';
  let value = start(first, path === '', job);
  let rest = path.slice(first.length);
  while (rest !== '') {
    spend();
    const step = /^(?:\.([^.[]+)|\[([^\]]+)\])/.exec(rest);
    if (!step) throw valueFault('Empty attribute in format string');
    const [whole, attribute, key = ''] = step;
    if (attribute !== undefined) value = job.lookup.attribute(value, attribute);
    else value = job.lookup.item(value, /^[0-9]+$/.test(key) ? BigInt(key) : key);
    rest = rest.slice(whole.length);
    if (rest !== '' && !/^[.[]/.test(rest)) {
      throw valueFault("Only '.' or '[' may follow ']' in format field specifier");
    }
  }
  return value;
}

/** @param automatic whether the field has no path at all and takes the next argument */
function start(name: string, automatic: boolean, job: Job): Value {
  if (automatic) {
    if (job.manual) {
      throw valueFault(
        'cannot switch from manual field specification to automatic field numbering',
      );
    }
    return argument(job, job.next++);
  }
  if (/^[0-9]+$/.test(name)) {
    if (job.next > 0) {
      throw valueFault(
        'cannot switch from automatic field numbering to manual field specification',
      );
    }
    job.manual = true;
    return argument(job, Number(name));
  }
  const value = job.named instanceof Map ? job.named.get(name) : itemOf(job.named as Value, name);
  if (value === undefined) throw new Fault('KeyError', quote(name));
  return value;
}

function argument(job: Job, index: number): Value {
  const value = job.args[index];
  if (value === undefined) {
    throw new Fault(
      'IndexError',
      `Replacement index ${index} out of range for positional args tuple`,
    );
  }
  return value;
}

/** The arguments of `format_map`. @throws {Fault} `TypeError` */
export function mapArgument(args: readonly Value[], keywords: Keywords): Value {
  if (keywords.size > 0) throw typeFault('format_map() takes no keyword arguments');
  const [map] = args;
  if (args.length !== 1 || map === undefined) {
    throw typeFault('format_map() takes exactly one argument');
  }
  return map;
}
