/**
 * Python's numbers: texts to numbers and back, and arithmetic on int and float. Integers are exact
 * at any size up to a bound; a text of more than 4,300 digits is refused, as in Python.
 */
import { checkLength, spend } from './budget.js';
import { bitLength, divideIntegers } from './decimals.js';
import { BudgetFault, Fault, typeFault, valueFault } from './faults.js';
import { power } from './power.js';
import { intOf, typeName, type Value } from './values.js';

/** Digits between text and int, as in Python since 3.11. */
const MAX_DIGITS = 4300;
/** Bits of an integer: more than any template computes with. */
const MAX_BITS = 2 ** 20;
/** Above this many bits an integer has more than 4,300 digits, whatever it is. */
const MAX_PRINTED_BITS = 14_300;

/** An integer's digits. @throws {Fault} `ValueError` beyond 4,300 */
export function intText(value: bigint): string {
  const size = value < 0n ? -value : value;
  if (size >= 1n << 64n) {
    spend(bitLength(size) / 64);
    if (bitLength(size) > MAX_PRINTED_BITS) tooManyDigits();
    const text = value.toString();
    if (text.length - (value < 0n ? 1 : 0) > MAX_DIGITS) tooManyDigits();
    return text;
  }
  return value.toString();
}

function tooManyDigits(): never {
  throw valueFault(`Exceeds the limit (${MAX_DIGITS} digits) for integer string conversion`);
}

const digitValue = (character: string): number => Number.parseInt(character, 36);

/** What `int(text, base)` gives. @throws {Fault} `ValueError` */
export function parseInteger(text: string, base: number): bigint {
  const invalid = () =>
    valueFault(`invalid literal for int() with base ${base}: ${JSON.stringify(text)}`);
  if (base !== 0 && (base < 2 || base > 36)) {
    throw valueFault('int() base must be >= 2 and <= 36, or 0');
  }
  const match = /^([+-]?)([0-9a-zA-Z_]+)$/.exec(stripSpace(text));
  if (!match) throw invalid();
  const [, sign, written = ''] = match;
  let radix = base;
  let digits = written;
  const named = written.startsWith('0')
    ? { x: 16, o: 8, b: 2 }[written.charAt(1).toLowerCase()]
    : undefined;
  if (named !== undefined && (base === 0 || base === named)) {
    radix = named;
    digits = written.slice(2).replace(/^_/, '');
  } else if (base === 0) {
    radix = 10;
    if (written.startsWith('0') && !/^[0_]+$/.test(written)) throw invalid();
  }
  if (!/^[0-9a-zA-Z]+(?:_[0-9a-zA-Z]+)*$/.test(digits)) throw invalid();
  const plain = digits.replaceAll('_', '');
  const powerOfTwo = (radix & (radix - 1)) === 0;
  if (!powerOfTwo && plain.length > MAX_DIGITS) tooManyDigits();
  spend(plain.length);
  checkBits(plain.length * 6);
  let result = 0n;
  if (radix === 10) {
    if (!/^[0-9]+$/.test(plain)) throw invalid();
    result = BigInt(plain);
  } else {
    const scale = BigInt(radix);
    for (const character of plain) {
      const digit = digitValue(character);
      if (!(digit < radix)) throw invalid();
      result = result * scale + BigInt(digit);
    }
  }
  return sign === '-' ? -result : result;
}

/** What `float(text)` gives. @throws {Fault} `ValueError` */
export function parseFloatText(text: string): number {
  const plain = stripSpace(text);
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(plain);
  if (special) {
    if (special[2]?.toLowerCase() === 'nan') return Number.NaN;
    return special[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  const digits = '[0-9]+(?:_[0-9]+)*';
  const number = new RegExp(
    `^[+-]?(?:${digits}\\.?(?:${digits})?|\\.${digits})(?:e[+-]?${digits})?$`,
    'i',
  );
  if (!number.test(plain)) {
    throw valueFault(`could not convert string to float: ${JSON.stringify(text)}`);
  }
  return Number(plain.replaceAll('_', ''));
}

const space =
  '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const outerSpace = new RegExp(`^${space}+|${space}+$`, 'g');
const stripSpace = (text: string) => text.replace(outerSpace, '');

/** What `int(value)` gives for a number. */
export function truncateFloat(value: number): bigint {
  if (Number.isNaN(value)) throw valueFault('cannot convert float NaN to integer');
  if (!Number.isFinite(value)) {
    throw new Fault('OverflowError', 'cannot convert float infinity to integer');
  }
  return BigInt(Math.trunc(value));
}

/** An integer as float. @throws {Fault} `OverflowError` */
export function toFloat(value: bigint): number {
  const result = Number(value);
  if (!Number.isFinite(result))
    throw new Fault('OverflowError', 'int too large to convert to float');
  return result;
}

export type Operator = '+' | '-' | '*' | '/' | '//' | '%' | '**';

/** An operation on two numbers, or undefined where one is none. */
export function arithmetic(operator: Operator, left: Value, right: Value): Value | undefined {
  if (typeof left === 'number' || typeof right === 'number') {
    const a = typeof left === 'number' ? left : intOf(left);
    const b = typeof right === 'number' ? right : intOf(right);
    if (a === undefined || b === undefined) return undefined;
    return onFloats(
      operator,
      typeof a === 'bigint' ? toFloat(a) : a,
      typeof b === 'bigint' ? toFloat(b) : b,
    );
  }
  const [a, b] = [intOf(left), intOf(right)];
  return a === undefined || b === undefined ? undefined : onIntegers(operator, a, b);
}

function onFloats(operator: Operator, left: number, right: number): number {
  switch (operator) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    case '/':
      if (right === 0) throw divisionByZero('float division by zero');
      return left / right;
    case '//':
      if (right === 0) throw divisionByZero('float floor division by zero');
      return floorDivide(left, right);
    case '%':
      if (right === 0) throw divisionByZero('float modulo');
      return modulo(left, right);
    default:
      return floatPower(left, right);
  }
}

const divisionByZero = (message: string) => new Fault('ZeroDivisionError', message);

/** The remainder with the divisor's sign. */
function modulo(left: number, right: number): number {
  const rest = left % right;
  if (rest === 0) return right < 0 ? -0 : 0;
  return rest < 0 !== right < 0 ? rest + right : rest;
}

function floorDivide(left: number, right: number): number {
  if (!Number.isFinite(left)) return Number.NaN;
  const rest = modulo(left, right);
  const quotient = (left - rest) / right;
  if (quotient === 0) return left < 0 !== right < 0 && left !== 0 ? -0 : 0 * (left / right);
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

function floatPower(left: number, right: number): number {
  if (left === 1 || right === 0) return 1;
  if (left === -1 && !Number.isFinite(right) && !Number.isNaN(right)) return 1;
  if (left === 0 && right < 0) {
    throw divisionByZero('0.0 cannot be raised to a negative power');
  }
  if (left < 0 && Number.isFinite(left) && Number.isFinite(right) && !Number.isInteger(right)) {
    throw valueFault('a negative number to a fractional power is complex, which templates lack');
  }
  const result =
    Number.isFinite(left) && Number.isFinite(right) ? power(left, right) : left ** right;
  if (!Number.isFinite(result) && Number.isFinite(left) && Number.isFinite(right)) {
    throw new Fault('OverflowError', 'Numerical result out of range');
  }
  return result;
}

function onIntegers(operator: Operator, left: bigint, right: bigint): Value {
  switch (operator) {
    case '+':
      return guarded(left + right);
    case '-':
      return guarded(left - right);
    case '*':
      if (isLarge(left) || isLarge(right)) checkBits(sizeOf(left) + sizeOf(right));
      return left * right;
    case '/': {
      if (right === 0n) throw divisionByZero('division by zero');
      const result = divideIntegers(left, right);
      if (Number.isFinite(result)) return result;
      throw new Fault('OverflowError', 'integer division result too large for a float');
    }
    case '//':
    case '%': {
      if (right === 0n) throw divisionByZero('integer division or modulo by zero');
      if (isLarge(left)) checkBits(sizeOf(left));
      const rest = left % right;
      const uneven = rest !== 0n && rest < 0n !== right < 0n;
      if (operator === '%') return uneven ? rest + right : rest;
      return uneven ? left / right - 1n : left / right;
    }
    default:
      return integerPower(left, right);
  }
}

const large = 1n << 1024n;
const isLarge = (value: bigint) => value >= large || value <= -large;
const sizeOf = (value: bigint) => bitLength(value < 0n ? -value : value);

function guarded(value: bigint): bigint {
  if (isLarge(value)) checkBits(sizeOf(value));
  return value;
}

/** Bounds an integer and counts the work of computing it. */
function checkBits(bits: number): void {
  if (bits > MAX_BITS) throw new BudgetFault(`it makes an integer of more than ${MAX_BITS} bits`);
  spend(bits / 16);
}

function integerPower(left: bigint, right: bigint): Value {
  if (right < 0n) {
    if (left === 0n) throw divisionByZero('0.0 cannot be raised to a negative power');
    return floatPower(toFloat(left), toFloat(right));
  }
  if (left === 0n || left === 1n || left === -1n)
    return left ** (right === 0n ? 0n : 2n - (right % 2n));
  if (right > BigInt(MAX_BITS)) checkBits(MAX_BITS + 1);
  checkBits(sizeOf(left) * Number(right));
  return left ** right;
}

/** An index-like argument. @throws {Fault} `TypeError` */
export function requireInt(value: Value): bigint {
  const result = intOf(value);
  if (result === undefined) {
    throw typeFault(`'${typeName(value)}' object cannot be interpreted as an integer`);
  }
  return result;
}

/**
 * A count or a width; those that cannot fit memory are cut to where the budget ends them.
 * @throws {Fault} `TypeError`, `OverflowError` beyond 64 bits
 */
export function requireCount(value: Value): number {
  const result = requireInt(value);
  if (BigInt.asIntN(64, result) !== result) {
    throw new Fault('OverflowError', "cannot fit 'int' into an index-sized integer");
  }
  const limit = 2n ** 31n;
  return Number(result > limit ? limit : result < -limit ? -limit : result);
}

/** A width for text. */
export function requireWidth(value: Value): number {
  const width = requireCount(value);
  checkLength(width);
  return width;
}
