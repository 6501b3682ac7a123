/** Jinja's filters on numbers and on values of any type, and `tojson` as Hugging Face has it. */
import { getAttribute, hasAttribute } from '../attributes.js';
import { spend } from '../budget.js';
import { bitLength, roundFloat } from '../decimals.js';
import { Fault, isFault, typeFault, valueFault } from '../faults.js';
import { formatValue } from '../format-spec.js';
import { parseJson, toJson } from '../json.js';
import { parseFloatText, parseInteger, requireInt, toFloat, truncateFloat } from '../numbers.js';
import { binary } from '../operators.js';
import { requireSize, truthy } from '../sequences.js';
import { toText } from '../text.js';
import { intOf, textOf, typeName, Undefined, type Value } from '../values.js';
import { requireName } from './attribute-path.js';
import { define, type Table } from './define.js';

export function addValueFilters(table: Table): void {
  define(table, 'abs', 'x, /', (_, value) => absolute(value));
  define(table, 'int', 'value, default=0, base=10', (_, value, otherwise, base) =>
    intFilter(value, otherwise, base),
  );
  define(table, 'float', 'value, default=0.0', (_, value, otherwise) => {
    try {
      return floatOf(value);
    } catch (error) {
      if (isFault(error, 'TypeError', 'ValueError')) return otherwise;
      throw error;
    }
  });
  define(table, 'round', "value, precision=0, method='common'", (_, value, precision, method) =>
    roundFilter(value, precision, method),
  );
  define(table, 'filesizeformat', 'value, binary=False', (_, value, isBinary) =>
    fileSize(floatOf(value), truthy(isBinary)),
  );
  for (const name of ['default', 'd']) {
    define(table, name, "value, default_value='', boolean=False", (_, value, otherwise, falsy) =>
      value instanceof Undefined || (truthy(falsy) && !truthy(value)) ? otherwise : value,
    );
  }
  for (const name of ['length', 'count']) {
    define(table, name, 'obj, /', (_, value) => BigInt(requireSize(value)));
  }
  define(table, 'attr', 'obj, name', (_, value, name) => {
    const text = requireName(name);
    if (hasAttribute(value, text)) return getAttribute(value, text);
    return new Undefined(`'${typeName(value)} object' has no attribute '${text}'`);
  });
  // Templates of models that were made for other engines have this one.
  define(table, 'from_json', 'text', (_, value) => parseJson(toText(value)));
  define(
    table,
    'tojson',
    'x, ensure_ascii=False, indent=None, separators=None, sort_keys=False',
    (_, value, ensureAscii, indent, separators, sortKeys) =>
      toJson(value, { ensureAscii, indent, separators, sortKeys }),
  );
}

function absolute(value: Value): Value {
  if (typeof value === 'number') return Math.abs(value);
  const number = intOf(value);
  if (number === undefined) throw typeFault(`bad operand type for abs(): '${typeName(value)}'`);
  return number < 0n ? -number : number;
}

/** `float(value)`. */
function floatOf(value: Value): number {
  if (typeof value === 'number') return value;
  if (value instanceof Undefined) return value.fail();
  const text = textOf(value);
  if (text !== undefined) return parseFloatText(text);
  const number = intOf(value);
  if (number !== undefined) return toFloat(number);
  throw typeFault(`float() argument must be a string or a real number, not '${typeName(value)}'`);
}

function intFilter(value: Value, otherwise: Value, base: Value): Value {
  try {
    const text = textOf(value);
    if (text !== undefined) return parseInteger(text, Number(requireInt(base)));
    if (value instanceof Undefined) value.fail();
    if (typeof value === 'number') return truncateFloat(value);
    const number = intOf(value);
    if (number === undefined) throw typeFault('no number');
    return number;
  } catch (error) {
    if (!isFault(error, 'TypeError', 'ValueError')) throw error;
  }
  try {
    return truncateFloat(floatOf(value));
  } catch (error) {
    if (isFault(error, 'TypeError', 'ValueError', 'OverflowError')) return otherwise;
    throw error;
  }
}

function roundFilter(value: Value, precision: Value, method: Value): Value {
  const name = textOf(method);
  if (name !== 'common' && name !== 'ceil' && name !== 'floor') {
    throw new Fault('FilterArgumentError', 'method must be common, ceil or floor');
  }
  if (name === 'common') return round(value, precision);
  const scale = binary('**', 10n, precision);
  const scaled = binary('*', value, scale);
  const number = typeof scaled === 'number' ? scaled : intOf(scaled);
  if (number === undefined) throw typeFault(`must be real number, not ${typeName(scaled)}`);
  const whole =
    typeof number === 'bigint'
      ? number
      : truncateFloat(name === 'ceil' ? Math.ceil(number) : Math.floor(number));
  return binary('/', whole, scale);
}

/** `round(value, digits)`. */
function round(value: Value, precision: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (typeof value === 'number') {
    if (precision === null) return truncateFloat(roundHalfEven(value));
    const digits = requireInt(precision);
    if (!Number.isFinite(value)) return value;
    spend(20);
    const result = roundFloat(value, Number(digits));
    if (!Number.isFinite(result)) throw new Fault('OverflowError', 'rounded value too large');
    return result;
  }
  const number = intOf(value);
  if (number === undefined) {
    throw typeFault(`type ${typeName(value)} doesn't define __round__ method`);
  }
  if (precision === null) return number;
  const digits = requireInt(precision);
  if (digits >= 0n) return number;
  const size = number < 0n ? -number : number;
  // Beyond the number's own digits everything rounds to nothing.
  if (-digits > BigInt(bitLength(size))) return 0n;
  const unit = 10n ** -digits;
  const rest = size % unit;
  const low = size - rest;
  const up = rest * 2n > unit || (rest * 2n === unit && (low / unit) % 2n === 1n);
  const rounded = up ? low + unit : low;
  return number < 0n ? -rounded : rounded;
}

function roundHalfEven(value: number): number {
  if (!Number.isFinite(value)) return value;
  return roundFloat(value, 0);
}

const units = ['k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'];

function fileSize(bytes: number, isBinary: boolean): string {
  const base = isBinary ? 1024 : 1000;
  if (bytes === 1) return '1 Byte';
  if (bytes < base) return `${truncateFloat(bytes)} Bytes`;
  let unit = base;
  let index = 0;
  do unit = base ** (index + 2);
  while (!(bytes < unit) && ++index < units.length);
  const letter = units[Math.min(index, units.length - 1)] ?? '';
  const prefix = isBinary ? `${letter.toUpperCase()}iB` : `${letter}B`;
  if (Number.isNaN(bytes)) throw valueFault('cannot convert float NaN to integer');
  return `${formatValue((base * bytes) / unit, '.1f')} ${prefix}`;
}
