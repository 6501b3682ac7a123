/**
 * `x ** y` of finite floats, rounded once: the engine's own power may be some units off in the last
 * place. Logarithm and exponential are computed with 160 bits behind the point.
 */
import { isNegative, parts, scaleByPower } from './decimals.js';

const BITS = 160n;
const ONE = 1n << BITS;

/** `ln(numerator / denominator)` for a quotient between 1 and 2. */
function logarithm(numerator: bigint, denominator: bigint): bigint {
  // ln(q) = 2 artanh((q - 1) / (q + 1)), whose argument is at most a third.
  const argument = ((numerator - denominator) << BITS) / (numerator + denominator);
  const square = (argument * argument) >> BITS;
  let term = argument;
  let sum = 0n;
  for (let divisor = 1n; term !== 0n; divisor += 2n) {
    sum += term / divisor;
    term = (term * square) >> BITS;
  }
  return sum * 2n;
}

const LN2 = logarithm(2n, 1n);

/** `e ** value` for a value between 0 and ln 2. */
function exponential(value: bigint): bigint {
  let term = ONE;
  let sum = 0n;
  for (let divisor = 1n; term !== 0n; divisor++) {
    sum += term;
    term = ((term * value) >> BITS) / divisor;
  }
  return sum;
}

/** @param x not negative where `y` is no integer; not zero where `y` is negative */
export function power(x: number, y: number): number {
  const size = Math.abs(x);
  const negative = isNegative(x) && Math.abs(y) % 2 === 1;
  if (size === 0 || y === 0) return y === 0 ? 1 : negative ? -0 : 0;
  const rough = size ** y;
  // Far outside of the range of doubles nothing is left to round.
  if (size === 1 || (rough === 0 && y * Math.log2(size) < -1080)) return negative ? -rough : rough;
  if (!Number.isFinite(rough) && y * Math.log2(size) > 1030) return negative ? -rough : rough;
  const base = parts(size);
  const length = base.mantissa.toString(2).length - 1;
  const log = logarithm(base.mantissa, 1n << BigInt(length)) + BigInt(base.exponent + length) * LN2;
  const times = parts(y);
  let product = log * (y < 0 ? -times.mantissa : times.mantissa);
  product =
    times.exponent >= 0 ? product << BigInt(times.exponent) : product >> BigInt(-times.exponent);
  let twos = product / LN2;
  if (product < 0n && twos * LN2 !== product) twos -= 1n;
  const result = scaleByPower(exponential(product - twos * LN2), Number(twos) - Number(BITS));
  return negative ? -result : result;
}
