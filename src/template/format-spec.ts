/**
 * Python's format codes: `format(value, '>8.2f')`, and what `%` conversions share with it. Follows
 * the “Format Specification Mini-Language” of Python's library reference.
 */
import { checkLength, spend, spendText } from './budget.js';
import { exponentText, fixedDigits, floatText, isNegative, significantDigits } from './decimals.js';
import { Fault, typeFault, valueFault } from './faults.js';
import { intText, toFloat } from './numbers.js';
import { lengthOf, sliceText, toText } from './text.js';
import { textOf, typeName, type Value } from './values.js';

interface Spec {
  readonly fill: string;
  readonly align: string;
  readonly sign: string;
  readonly noNegativeZero: boolean;
  readonly alternate: boolean;
  readonly width: number;
  readonly grouping: string;
  readonly precision: number | undefined;
  readonly code: string;
}

const pattern =
  /^(?:(.)?([<>=^]))?([-+ ])?(z)?(#)?(0)?([0-9]+)?([,_])?(?:\.([0-9]+))?([bcdeEfFgGnosxX%])?$/su;

function parse(text: string, type: string): Spec {
  const match = pattern.exec(text);
  if (!match) throw valueFault(`Invalid format specifier '${text}' for object of type '${type}'`);
  const [, fill, align, sign, z, alternate, zero, width, grouping, precision, code] = match;
  return {
    fill: fill ?? (zero ? '0' : ' '),
    align: align ?? (zero && type !== 'str' ? '=' : ''),
    sign: sign ?? '',
    noNegativeZero: z !== undefined,
    alternate: alternate !== undefined,
    width: width === undefined ? 0 : size(width),
    grouping: grouping ?? '',
    precision: precision === undefined ? undefined : size(precision),
    code: code ?? '',
  };
}

function size(digits: string): number {
  const value = Number(digits);
  if (value > 2 ** 31) throw valueFault('Too many decimal digits in format string');
  checkLength(value);
  return value;
}

/** `format(value, spec)`. @throws {Fault} */
export function formatValue(value: Value, spec: string): string {
  const text = textOf(value);
  if (spec === '') return toText(value);
  if (text !== undefined) return formatString(text, parse(spec, 'str'));
  if (typeof value === 'bigint') return formatInteger(value, parse(spec, 'int'), spec);
  if (typeof value === 'boolean') {
    return formatInteger(BigInt(value), parse(spec, 'bool'), spec);
  }
  if (typeof value === 'number') return formatFloat(value, parse(spec, 'float'), 'float');
  throw typeFault(`unsupported format string passed to ${typeName(value)}.__format__`);
}

function formatString(text: string, spec: Spec): string {
  const { code, align, precision } = spec;
  if (code !== '' && code !== 's') unknownCode(code, 'str');
  if (spec.sign || spec.noNegativeZero)
    throw valueFault('Sign not allowed in string format specifier');
  if (spec.alternate) throw valueFault('Alternate form (#) not allowed in string format specifier');
  if (align === '=') {
    throw valueFault("'=' alignment not allowed in string format specifier");
  }
  if (spec.grouping) throw valueFault(`Cannot specify '${spec.grouping}' with 's'.`);
  const shown =
    precision === undefined ? text : sliceText(text, 0, Math.min(precision, lengthOf(text)));
  return fillUp(shown, { ...spec, align: align || '<' });
}

function unknownCode(code: string, type: string): never {
  throw valueFault(`Unknown format code '${code}' for object of type '${type}'`);
}

function formatInteger(value: bigint, spec: Spec, text: string): string {
  const { code, precision } = spec;
  if (code !== '' && 'eEfFgG%'.includes(code)) return formatFloat(toFloat(value), spec, 'int');
  if (code === 's') unknownCode(code, 'int');
  if (precision !== undefined)
    throw valueFault('Precision not allowed in integer format specifier');
  if (spec.noNegativeZero) {
    throw valueFault('Negative zero coercion (z) not allowed in format specifier with integer');
  }
  if (code === 'c') {
    if (spec.sign) throw valueFault("Sign not allowed with integer format specifier 'c'");
    if (spec.alternate)
      throw valueFault('Alternate form (#) not allowed with integer format specifier');
    if (spec.grouping) throw valueFault(`Cannot specify '${spec.grouping}' with 'c'.`);
    return fillUp(characterOf(value), spec);
  }
  if (spec.grouping === ',' && 'boxXn'.includes(code) && code !== '') {
    throw valueFault(`Cannot specify ',' with '${code}'.`);
  }
  if (spec.grouping === '_' && code === 'n') throw valueFault("Cannot specify '_' with 'n'.");
  spend(text.length);
  const { digits, prefix } = integerDigits(value < 0n ? -value : value, code);
  const group = 'boxX'.includes(code) && code !== '' ? 4 : 3;
  return assemble({
    sign: signOf(value < 0n, spec.sign),
    prefix: spec.alternate ? prefix : '',
    whole: digits,
    rest: '',
    spec,
    group,
  });
}

function characterOf(value: bigint): string {
  if (value < 0n || value > 0x10ffffn) {
    throw new Fault('OverflowError', '%c arg not in range(0x110000)');
  }
  return String.fromCodePoint(Number(value));
}

/** Digits of a non-negative integer in the base that a code names, and the base's prefix. */
export function integerDigits(
  value: bigint,
  code: string,
): { readonly digits: string; readonly prefix: string } {
  if (code === 'x') return { digits: value.toString(16), prefix: '0x' };
  if (code === 'X') return { digits: value.toString(16).toUpperCase(), prefix: '0X' };
  if (code === 'o') return { digits: value.toString(8), prefix: '0o' };
  if (code === 'b') return { digits: value.toString(2), prefix: '0b' };
  return { digits: intText(value), prefix: '' };
}

export function signOf(negative: boolean, wanted: string): string {
  return negative ? '-' : wanted === '-' ? '' : wanted;
}

function formatFloat(value: number, spec: Spec, type: string): string {
  const { code } = spec;
  if ('bcdosxX'.includes(code) && code !== '') unknownCode(code, type);
  if (spec.grouping && code === 'n')
    throw valueFault(`Cannot specify '${spec.grouping}' with 'n'.`);
  let negative = isNegative(value);
  let text = floatDigits(value, code, spec.precision, spec.alternate);
  if (spec.noNegativeZero && negative && !/[1-9a-z]/i.test(text)) negative = false;
  if (code === '%') text += '%';
  const match = /^([0-9]+)(.*)$/s.exec(text);
  return assemble({
    sign: signOf(negative && !Number.isNaN(value), spec.sign),
    prefix: '',
    whole: match?.[1] ?? '',
    rest: match?.[2] ?? text,
    spec,
    group: 3,
  });
}

/** The digits of `|value|` by a code of floats; no code is like `g` but reads back. */
export function floatDigits(
  value: number,
  code: string,
  precision: number | undefined,
  alternate: boolean,
): string {
  const large = code === 'E' || code === 'F' || code === 'G';
  if (!Number.isFinite(value)) {
    const text = Number.isNaN(value) ? 'nan' : 'inf';
    return large ? text.toUpperCase() : text;
  }
  const size = Math.abs(value);
  if (precision !== undefined) {
    spendText(precision);
    spend(precision);
  }
  switch (code) {
    case 'f':
    case 'F':
      return fixed(size, precision ?? 6, alternate);
    case '%': {
      const hundredfold = size * 100;
      return Number.isFinite(hundredfold) ? fixed(hundredfold, precision ?? 6, alternate) : 'inf';
    }
    case 'e':
    case 'E': {
      const { digits, exponent } = significantDigits(size, (precision ?? 6) + 1);
      const text = scientific(digits, exponent, alternate);
      return large ? text.toUpperCase() : text;
    }
    case '':
      if (precision === undefined) return floatText(size);
      return general(size, precision, alternate, true);
    default: {
      const text = general(size, precision ?? 6, alternate, false);
      return large ? text.toUpperCase() : text;
    }
  }
}

function fixed(value: number, precision: number, alternate: boolean): string {
  return fixedDigits(value, precision) + (alternate && precision === 0 ? '.' : '');
}

function scientific(digits: string, exponent: number, alternate: boolean): string {
  const fraction = digits.length > 1 || alternate ? `.${digits.slice(1)}` : '';
  return `${digits[0]}${fraction}e${exponentText(exponent)}`;
}

/** `g`, and with `reads` what a precision without a code means: a fraction in any case. */
function general(value: number, precision: number, alternate: boolean, reads: boolean): string {
  const count = Math.max(precision, 1);
  const { digits, exponent } = significantDigits(value, count);
  const kept = alternate ? digits : digits.replace(/0+$/, '') || '0';
  if (exponent < -4 || exponent >= (reads ? count - 1 : count)) {
    return scientific(kept, exponent, alternate);
  }
  if (exponent < 0) return `0.${'0'.repeat(-exponent - 1)}${kept}`;
  const whole = kept.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  const fraction = kept.slice(exponent + 1);
  if (fraction !== '' || alternate) return `${whole}.${fraction}`;
  return reads ? `${whole}.0` : whole;
}

interface Pieces {
  readonly sign: string;
  readonly prefix: string;
  readonly whole: string;
  readonly rest: string;
  readonly spec: Spec;
  /** Digits of a group. */
  readonly group: number;
}

/** Groups, pads and signs a number. */
function assemble({ sign, prefix, whole, rest, spec, group }: Pieces): string {
  let digits = whole;
  const lead = sign + prefix;
  if (spec.grouping && whole !== '') {
    // Zeros that fill up are grouped with the digits.
    const room =
      spec.fill === '0' && spec.align === '=' ? spec.width - lead.length - rest.length : 0;
    digits = grouped(whole, spec.grouping, group, room);
  }
  const text = lead + digits + rest;
  if (spec.align === '=' || spec.align === '') {
    const missing = spec.width - text.length;
    if (missing <= 0) return text;
    spendText(missing);
    return spec.align === ''
      ? spec.fill.repeat(missing) + text
      : lead + spec.fill.repeat(missing) + digits + rest;
  }
  return fillUp(text, spec);
}

function grouped(whole: string, separator: string, group: number, room: number): string {
  let digits = whole;
  const length = () => digits.length + Math.floor((digits.length - 1) / group);
  spendText(Math.max(room, 0) + whole.length * 2);
  while (length() < room) digits = `0${digits}`;
  const parts: string[] = [];
  for (let end = digits.length; end > 0; end -= group) {
    parts.unshift(digits.slice(Math.max(0, end - group), end));
  }
  return parts.join(separator);
}

function fillUp(text: string, spec: Spec): string {
  const missing = spec.width - lengthOf(text);
  if (missing <= 0) return text;
  spendText(missing);
  const left = spec.align === '<' ? 0 : spec.align === '^' ? missing >> 1 : missing;
  return spec.fill.repeat(left) + text + spec.fill.repeat(missing - left);
}
