/**
 * Bytes of large random tensors: pieces of a pool of quantised random blocks, since making each block
 * anew would take minutes.
 */
import { PacelineError } from '../base/errors.js';
import { loadGgml } from '../ggml/library.js';
import { GgmlType, rowBytes } from '../ggml/types.js';

const poolValues = 1 << 20;
const deviation = 0.02;

/** A small generator of random numbers (xorshift32); the same everywhere. */
function generator(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

/** Sum of uniform numbers, close enough to normal ones. */
function normalValues(count: number, random: () => number): Float32Array {
  const values = new Float32Array(count);
  for (let index = 0; index < count; index++) {
    values[index] = (random() + random() + random() + random() - 2) * Math.sqrt(3) * deviation;
  }
  return values;
}

/** Random blocks of a type. */
export function makePool(type: GgmlType): Uint8Array {
  const values = normalValues(poolValues, generator(type + 1));
  if (type === GgmlType.F32) return new Uint8Array(values.buffer);
  const pool = new Uint8Array(rowBytes(type, poolValues));
  const { base } = loadGgml();
  const written = base.ggml_quantize_chunk(type, values, pool, 0, 1, poolValues, 0);
  if (written === pool.byteLength) return pool;
  throw new PacelineError('unsupported-type', `ggml cannot quantise to type ${type}`);
}

const chunkBytes = 8 << 20;

/** Bytes of a tensor: pieces of the pool from random places, whole blocks only. */
export function* tensorData(pool: Uint8Array, bytes: number, block: number, seed: number) {
  const random = generator(seed);
  const most = Math.floor(chunkBytes / block) * block;
  for (let left = bytes; left > 0; ) {
    const chunk = new Uint8Array(Math.min(left, most));
    for (let at = 0; at < chunk.length; ) {
      const from = Math.floor((random() * pool.length) / 2 / block) * block;
      const piece = pool.subarray(from, from + Math.min(pool.length / 2, chunk.length - at));
      chunk.set(piece, at);
      at += piece.length;
    }
    left -= chunk.length;
    yield chunk;
  }
}

/** Bytes of the smallest piece of a type that stands alone. */
export function blockBytes(type: GgmlType): number {
  return rowBytes(type, 256);
}
