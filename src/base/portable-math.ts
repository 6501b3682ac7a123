/**
 * Natural logarithm and exponential from IEEE additions, multiplications and divisions alone.
 *
 * Guarantees the same bits on every platform and JavaScript engine, which `Math.log` and
 * `Math.exp` do not: a sampled text must not depend on whose library rounds the last bit. Relative
 * error below 1e-15 in the ranges stated.
 */

const ln2High = 0.6931471803691238; // 33 significant bits, so that k * ln2High is exact
const ln2Low = 1.9082149292705877e-10;
const sqrtHalf = Math.SQRT1_2;

const doubleBits = new Float64Array(1);
const wordBits = new Uint32Array(doubleBits.buffer);
doubleBits[0] = 1;
const highWord = wordBits[1] === 0x3ff00000 ? 1 : 0;

/** Natural logarithm of a positive, normal double (2^-1022 and up). */
export function portableLog(x: number): number {
  doubleBits[0] = x;
  const word = wordBits[highWord] as number;
  let exponent = (word >>> 20) - 1022;
  wordBits[highWord] = (word & 0x000fffff) | 0x3fe00000; // mantissa in [0.5, 1)
  let m = doubleBits[0] as number;
  if (m < sqrtHalf) {
    m += m;
    exponent -= 1;
  }
  // log m = 2 atanh((m - 1) / (m + 1)); |s| <= 0.1716, so eleven terms reach the last bit.
  const s = (m - 1) / (m + 1);
  const z = s * s;
  let tail = 1 / 23;
  tail = tail * z + 1 / 21;
  tail = tail * z + 1 / 19;
  tail = tail * z + 1 / 17;
  tail = tail * z + 1 / 15;
  tail = tail * z + 1 / 13;
  tail = tail * z + 1 / 11;
  tail = tail * z + 1 / 9;
  tail = tail * z + 1 / 7;
  tail = tail * z + 1 / 5;
  tail = tail * z + 1 / 3;
  const log = 2 * s + 2 * s * z * tail;
  return exponent === 0 ? log : exponent * ln2High + (exponent * ln2Low + log);
}

/** 2^k for k = -1022..1023, by halving and doubling, which is exact. */
const powersOfTwo = ((): Float64Array => {
  const table = new Float64Array(2046);
  table[1022] = 1;
  for (let k = 1; k <= 1023; k++) table[1022 + k] = (table[1021 + k] as number) * 2;
  for (let k = 1; k <= 1022; k++) table[1022 - k] = (table[1023 - k] as number) / 2;
  return table;
})();

const stepsPerOctave = 64;

/** 2^(j/64) for j = 0..63, from the Taylor series. */
const rootsOfTwo = Float64Array.from({ length: stepsPerOctave }, (_, j) => {
  const x = (j / stepsPerOctave) * (ln2High + ln2Low);
  let sum = 1;
  for (let n = 22; n >= 1; n--) sum = 1 + (sum * x) / n;
  return sum;
});

/** Exponential of x; 0 below -708 (results would be subnormal), Infinity above 709. */
export function portableExp(x: number): number {
  if (x < -708) return 0;
  if (x > 709) return Number.POSITIVE_INFINITY;
  const n = Math.floor(x * (stepsPerOctave * Math.LOG2E) + 0.5);
  const r = x - n * (ln2High / stepsPerOctave) - n * (ln2Low / stepsPerOctave); // |r| <= 0.0055
  const tail = r + r * r * (0.5 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120))));
  const root = rootsOfTwo[n & (stepsPerOctave - 1)] as number;
  return (root + root * tail) * (powersOfTwo[1022 + (n >> 6)] as number);
}
