/**
 * Floats as decimal digits, exactly: what Python's `repr`, `round` and format codes write. A double
 * is an integer times a power of two, so that every digit can be had from big integers; ties go to
 * even, as in Python. Knows nothing of templates.
 */

/** A finite double as `mantissa * 2 ** exponent`, the sign apart. */
export function parts(value: number): { mantissa: bigint; exponent: number } {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const biased = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  return biased === 0
    ? { mantissa: fraction, exponent: -1074 }
    : { mantissa: fraction | 0x10000000000000n, exponent: biased - 1075 };
}

/** `numerator / denominator` rounded to the nearest integer, ties to even; both positive. */
function divideRounded(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twice = (numerator % denominator) * 2n;
  if (twice < denominator || (twice === denominator && quotient % 2n === 0n)) return quotient;
  return quotient + 1n;
}

/** `|value| * 10 ** digits` rounded to an integer; `digits` may be negative. */
function scaled(value: number, digits: number): bigint {
  const { mantissa, exponent } = parts(value);
  let numerator = mantissa;
  let denominator = 1n;
  if (exponent >= 0) numerator <<= BigInt(exponent);
  else denominator <<= BigInt(-exponent);
  if (digits >= 0) numerator *= 10n ** BigInt(digits);
  else denominator *= 10n ** BigInt(-digits);
  return divideRounded(numerator, denominator);
}

/** True for negative zero too. */
export const isNegative = (value: number): boolean => value < 0 || Object.is(value, -0);

/** Digits of `|value|` with that many after the point, without exponent. */
export function fixedDigits(value: number, digits: number): string {
  const text = scaled(value, digits)
    .toString()
    .padStart(digits + 1, '0');
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** `|value|` as a digit string of that length and the power of ten of its first digit. */
export function significantDigits(
  value: number,
  count: number,
): { readonly digits: string; readonly exponent: number } {
  if (value === 0) return { digits: '0'.repeat(count), exponent: 0 };
  let exponent = Math.floor(Math.log10(Math.abs(value)));
  // The logarithm may be off by one, and rounding may carry into another digit.
  for (const candidate of [exponent - 1, exponent, exponent + 1]) {
    const digits = scaled(value, count - 1 - candidate).toString();
    if (digits.length === count) return { digits, exponent: candidate };
    exponent = candidate;
  }
  return { digits: `1${'0'.repeat(count - 1)}`, exponent };
}

/** Python's `repr` of a float: the shortest digits that read back, with `.0` or an exponent. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  const sign = isNegative(value) ? '-' : '';
  if (value === 0) return `${sign}0.0`;
  const [mantissa = '', power = '0'] = Math.abs(value).toExponential().split('e');
  const digits = mantissa.replace('.', '');
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    return `${sign}${digits[0]}${fraction}e${exponentText(exponent)}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`;
}

/** An exponent with its sign and at least two digits. */
export function exponentText(exponent: number): string {
  return `${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

/** `round(value, digits)` of a finite float; `digits` may be negative. */
export function roundFloat(value: number, digits: number): number {
  if (digits > 323 || value === 0) return value;
  if (digits < -308) return isNegative(value) ? -0 : 0;
  const text = scaled(value, digits).toString();
  const result = Number(`${text}e${-digits}`);
  return isNegative(value) ? -result : result;
}

/** `left / right` correctly rounded; infinite when too large. `right` is not zero. */
export function divideIntegers(left: bigint, right: bigint): number {
  const [a, b] = [Number(left), Number(right)];
  if (Number.isSafeInteger(a) && Number.isSafeInteger(b)) return a / b;
  const negative = left < 0n !== right < 0n;
  const numerator = left < 0n ? -left : left;
  const denominator = right < 0n ? -right : right;
  if (numerator === 0n) return negative ? -0 : 0;
  // Scaled so that the quotient has at least 66 bits; a last odd bit keeps what was cut off.
  const shift = 66 - (bitLength(numerator) - bitLength(denominator));
  const scaledUp = shift > 0 ? numerator << BigInt(shift) : numerator;
  const divisor = shift < 0 ? denominator << BigInt(-shift) : denominator;
  const quotient = scaledUp / divisor;
  const sticky = scaledUp % divisor === 0n ? quotient : quotient | 1n;
  const result = scaleByPower(sticky, -shift);
  return negative ? -result : result;
}

/** `value * 2 ** power` rounded once. */
export function scaleByPower(value: bigint, power: number): number {
  const bits = bitLength(value);
  const lowest = Math.max(bits - 53, -1074 - power);
  if (lowest <= 0) return Number(value) * 2 ** power;
  const rounded = divideRounded(value, 1n << BigInt(lowest));
  const exponent = lowest + power;
  if (exponent > 1000) return Number(rounded) * 2 ** (exponent - 500) * 2 ** 500;
  return exponent < -1000
    ? Number(rounded) * 2 ** (exponent + 500) * 2 ** -500
    : Number(rounded) * 2 ** exponent;
}

/** Bits of a non-negative integer. */
export function bitLength(value: bigint): number {
  const hex = value.toString(16);
  return value === 0n ? 0 : hex.length * 4 - (Math.clz32(Number.parseInt(hex[0] ?? '0', 16)) - 28);
}

/** An integral float's numerator, or that of its fraction, with the denominator. */
export function integerRatio(value: number): readonly [bigint, bigint] {
  const { mantissa, exponent } = parts(value);
  const signed = isNegative(value) ? -mantissa : mantissa;
  if (exponent >= 0) return [signed << BigInt(exponent), 1n];
  let [numerator, denominator] = [signed, 1n << BigInt(-exponent)];
  while (denominator > 1n && numerator % 2n === 0n) {
    numerator /= 2n;
    denominator /= 2n;
  }
  return [numerator, denominator];
}
