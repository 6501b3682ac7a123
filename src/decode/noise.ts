/**
 * The noise of sampling: a pure function of (seed, position, token), never a stream.
 *
 * Because no state advances, a token's noise does not depend on how many tokens were sampled
 * before, in which order, or in which batch; drafts are checked against the very numbers that plain
 * decoding would have used. The bits are the same on every platform: integer mixing and the
 * portable logarithm. Knows nothing of logits or filters.
 */
import { portableExp, portableLog } from '../base/portable-math.js';

/** The words that one (seed, position) pair mixes into every token's hash. */
export interface NoiseKey {
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

/** A bijection on 32-bit words with full avalanche (multipliers found by search for low bias). */
function mix(word: number): number {
  let x = word | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return x ^ (x >>> 15);
}

/**
 * Key of one position.
 * @param seed safe integer, 0 or more; all its 53 bits count.
 * @param position absolute position of the token that is being chosen.
 */
export function noiseKey(seed: number, position: number): NoiseKey {
  const seedHigh = Math.floor(seed / 0x100000000);
  let state = mix(seed ^ 0x5bd1e995);
  state = mix(state ^ seedHigh ^ 0x3c6ef372);
  const own = mix(state ^ mix(position ^ 0x27d4eb2f));
  const a = mix(own + 0x9e3779b9);
  const b = mix(mix(own ^ seed) + (position | 0));
  const c = mix(a ^ Math.imul(b, 0x85ebca6b) ^ seedHigh);
  return { a, b, c };
}

/**
 * Upper 32 bits of a token's uniform number, as an unsigned word. Two keys enter between the
 * rounds, so that two positions never see one another's noise merely permuted over the tokens.
 */
export function noiseHigh(key: NoiseKey, token: number): number {
  let x = (token + key.a) | 0;
  x = Math.imul(x ^ (x >>> 17), 0xed5ad4bb);
  x = Math.imul(x ^ (x >>> 11) ^ key.b, 0xac4c1b51);
  x = Math.imul(x ^ (x >>> 15), 0x31848bab);
  return (x ^ (x >>> 14)) >>> 0;
}

/** Lower 20 bits: only resolution for the tails, so a cheaper mix of the upper word will do. */
function noiseLow(key: NoiseKey, high: number): number {
  return mix(high ^ key.c) >>> 12;
}

/** Gumbel noise from the upper word that `noiseHigh` gave; between -3.61 and 36.74. */
export function gumbelFromHigh(key: NoiseKey, high: number): number {
  // 52 bits plus a half: exact in a double, never 0 and never 1.
  const uniform = (high * 0x100000 + noiseLow(key, high) + 0.5) * 2 ** -52;
  return -portableLog(-portableLog(uniform));
}

/** Standard Gumbel noise of one token: argmax of (log-weight + noise) draws from the softmax. */
export function gumbel(key: NoiseKey, token: number): number {
  return gumbelFromHigh(key, noiseHigh(key, token));
}

const tableStart = -4;
const stepsPerUnit = 16;
const tableEnd = 37;

/**
 * Entry i: every upper word below it has Gumbel noise below `tableStart + i / stepsPerUnit`. The
 * margin of eight words covers rounding many times over, so that the table only saves work.
 */
const rejectBelow = ((): Uint32Array => {
  const table = new Uint32Array((tableEnd - tableStart) * stepsPerUnit + 1);
  for (let i = 0; i < table.length; i++) {
    const noise = tableStart + i / stepsPerUnit;
    const word = Math.floor(portableExp(-portableExp(-noise)) * 0x100000000) - 8;
    table[i] = Math.max(0, Math.min(0xffffffff, word));
  }
  return table;
})();

/**
 * An upper word below the returned bound has noise below `needed`: such a token can be passed over
 * without taking logarithms. Returns 2^32 when no word reaches `needed`.
 */
export function rejectionBound(needed: number): number {
  if (needed >= tableEnd) return 0x100000000;
  if (needed <= tableStart) return 0;
  return rejectBelow[Math.floor((needed - tableStart) * stepsPerUnit)] as number;
}
