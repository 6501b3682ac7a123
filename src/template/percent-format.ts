/** `'%05.1f and %(name)s' % values`: the printf-like formatting of Python's library reference. */
import { checkLength, spend, spendText } from './budget.js';
import { isNegative } from './decimals.js';
import { Fault, typeFault, valueFault } from './faults.js';
import { floatDigits, integerDigits, signOf } from './format-spec.js';
import { escapeString } from './html.js';
import { requireInt, toFloat, truncateFloat } from './numbers.js';
import { itemOf } from './sequences.js';
import { asciiRepr } from './string-format.js';
import { lengthOf, sliceText, toRepr, toText } from './text.js';
import {
  Dict,
  intOf,
  Markup,
  Range,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from './values.js';

const directive =
  /%(?:\(((?:[^()]|\([^()]*\))*)\))?([-+ #0]*)([0-9]+|\*)?(?:\.([0-9]+|\*)?)?([hlL]?)(.)?/gsu;

interface Flags {
  readonly left: boolean;
  readonly sign: string;
  readonly alternate: boolean;
  readonly zero: boolean;
  readonly width: number;
  readonly precision: number | undefined;
}

/** `owner % values`. @throws {Fault} `TypeError`, `ValueError`, `KeyError`, `OverflowError` */
export function percentFormat(owner: string | Markup, values: Value): Value {
  const escapes = owner instanceof Markup;
  const text = escapes ? owner.text : owner;
  const queue = values instanceof Tuple ? [...values.items] : [values];
  // Whatever has items may have some left over.
  const isMapping =
    values instanceof Dict ||
    Array.isArray(values) ||
    values instanceof Range ||
    values instanceof Undefined;
  let used = 0;
  let named = false;
  const next = (): Value => {
    const value = queue[used++];
    if (value === undefined) throw typeFault('not enough arguments for format string');
    return value;
  };
  spend(text.length / 16);
  const result = text.replace(
    directive,
    (whole, key: string | undefined, flags: string, width, precision, _length, code) => {
      spend();
      let value: Value | undefined;
      if (key !== undefined) {
        named = true;
        value = lookUp(values, key);
      }
      const field = readFlags(
        flags,
        width,
        whole.includes('.') ? (precision ?? '0') : undefined,
        next,
      );
      if (code === undefined) throw valueFault('incomplete format');
      if (code === '%') return '%';
      return convert(code, value === undefined ? next() : value, field, escapes);
    },
  );
  if (!isMapping && !named && used < queue.length) {
    throw typeFault('not all arguments converted during string formatting');
  }
  spendText(result.length);
  return escapes ? new Markup(result) : result;
}

function lookUp(values: Value, key: string): Value {
  if (!(values instanceof Dict)) throw typeFault('format requires a mapping');
  const value = itemOf(values, key);
  if (value === undefined) throw new Fault('KeyError', `'${key}'`);
  return value;
}

function readFlags(
  flags: string,
  width: string | undefined,
  precision: string | undefined,
  next: () => Value,
): Flags {
  const size = (text: string) => {
    if (text !== '*') return Number(text);
    const value = next();
    if (intOf(value) === undefined) throw typeFault('* wants int');
    return Number(requireInt(value));
  };
  const wide = width === undefined ? 0 : size(width);
  const precise = precision === undefined ? undefined : Math.max(0, size(precision));
  checkLength(Math.abs(wide));
  checkLength(precise ?? 0);
  return {
    left: flags.includes('-') || wide < 0,
    sign: flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '',
    alternate: flags.includes('#'),
    zero: flags.includes('0'),
    width: Math.abs(wide),
    precision: precise,
  };
}

function convert(code: string, value: Value, flags: Flags, escapes: boolean): string {
  switch (code) {
    case 's':
    case 'r':
    case 'a': {
      const text = code === 's' ? toText(value) : code === 'r' ? toRepr(value) : asciiRepr(value);
      const safe =
        escapes && !(code === 's' && value instanceof Markup) ? escapeString(text) : text;
      const { precision } = flags;
      const shown =
        precision === undefined ? safe : sliceText(safe, 0, Math.min(precision, lengthOf(safe)));
      return fill('', shown, { ...flags, zero: false });
    }
    case 'c':
      return fill('', characterOf(value), { ...flags, zero: false });
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
      return convertInteger(code, value, flags);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G': {
      const number = floatOf(value);
      const sign = signOf(isNegative(number) && !Number.isNaN(number), flags.sign);
      const digits = floatDigits(number, code, flags.precision, flags.alternate);
      return fill(sign, digits, Number.isFinite(number) ? flags : { ...flags, zero: false });
    }
    default:
      throw valueFault(`unsupported format character '${code}'`);
  }
}

function characterOf(value: Value): string {
  const text = textOf(value);
  if (text !== undefined && lengthOf(text) === 1) return text;
  const code = intOf(value);
  if (code === undefined) throw typeFault('%c requires int or char');
  if (code < 0n || code > 0x10ffffn) {
    throw new Fault('OverflowError', '%c arg not in range(0x110000)');
  }
  return String.fromCodePoint(Number(code));
}

function floatOf(value: Value): number {
  if (typeof value === 'number') return value;
  if (value instanceof Undefined) value.fail();
  const number = intOf(value);
  if (number === undefined) throw typeFault(`must be real number, not ${typeName(value)}`);
  return toFloat(number);
}

function convertInteger(code: string, value: Value, flags: Flags): string {
  let number = intOf(value);
  const decimal = code === 'd' || code === 'i' || code === 'u';
  if (value instanceof Undefined && decimal) value.fail();
  if (number === undefined && decimal && typeof value === 'number') number = truncateFloat(value);
  if (number === undefined) {
    const wanted = decimal ? 'a real number' : 'an integer';
    throw typeFault(`%${code} format: ${wanted} is required, not ${typeName(value)}`);
  }
  const { digits, prefix } = integerDigits(number < 0n ? -number : number, code);
  const shown = digits.padStart(flags.precision ?? 0, '0');
  const lead = signOf(number < 0n, flags.sign) + (flags.alternate ? prefix : '');
  return fill(lead, shown, flags);
}

function fill(lead: string, text: string, flags: Flags): string {
  const missing = flags.width - lengthOf(lead) - lengthOf(text);
  if (missing <= 0) return lead + text;
  spendText(missing);
  if (flags.left) return lead + text + ' '.repeat(missing);
  return flags.zero ? lead + '0'.repeat(missing) + text : ' '.repeat(missing) + lead + text;
}
