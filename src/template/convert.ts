/**
 * JavaScript's values as a template's: integers become int, other numbers float, bigints int, Maps
 * and plain objects dict, null None. `rawJson` marks text that is read as JSON instead, which keeps
 * what JavaScript's own reader loses: integers beyond 2^53, `105.0`, keys that look like numbers.
 */
import { RawJson } from './raw-json.js';
import { fail, parseRaw } from './raw-value.js';
import { Dict, type Value } from './values.js';

/** Objects within objects. */
const MAX_DEPTH = 180;

/**
 * A template's value.
 * @param where the value's name in messages
 * @throws {PacelineError} `usage` for functions, symbols, cycles, broken JSON
 */
export function toValue(value: unknown, where: string): Value {
  return convert(value, where, 0) ?? null;
}

/** @returns undefined for undefined, which templates see as missing */
function convert(value: unknown, where: string, depth: number): Value | undefined {
  if (depth > MAX_DEPTH) fail(`has more than ${MAX_DEPTH} levels, or holds itself`, where);
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'bigint':
      return value;
    case 'undefined':
      return undefined;
    case 'number':
      return Number.isInteger(value) && !Object.is(value, -0) ? BigInt(value) : value;
    case 'object':
      break;
    default:
      return fail(`is a ${typeof value}, which no template can read`, where);
  }
  if (value === null) return null;
  if (value instanceof RawJson) return parseRaw(value.text, where);
  const inner = (item: unknown, key: string) => convert(item, `${where}${key}`, depth + 1);
  if (Array.isArray(value)) {
    return value.map((item, index) => inner(item, `[${index}]`) ?? null);
  }
  const dict = new Dict();
  if (value instanceof Map) {
    for (const [key, item] of value) {
      const name = convert(key, `${where}: a key`, depth + 1);
      if (name === undefined || (typeof name === 'object' && name !== null)) {
        return fail('has a key that is neither text nor number', where);
      }
      const entry = inner(item, `[${String(key)}]`);
      if (entry !== undefined) dict.set(name, entry);
    }
    return dict;
  }
  if (value instanceof Date) return value.toISOString();
  for (const [key, item] of Object.entries(value)) {
    const entry = inner(item, `.${key}`);
    if (entry !== undefined) dict.set(key, entry);
  }
  return dict;
}

/** The same value with every text changed. */
export function mapTexts(value: Value, mapText: (text: string) => string): Value {
  if (typeof value === 'string') return mapText(value);
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, mapText));
  if (!(value instanceof Dict)) return value;
  return Dict.of(
    Array.from(
      value.pairs(),
      ([key, item]) => [mapTexts(key, mapText), mapTexts(item, mapText)] as const,
    ),
  );
}
