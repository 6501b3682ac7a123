/**
 * How the rows of a KV cache lie in memory, by element type: the one place that knows what a type
 * adds to the elements that a model asks for. Pure arithmetic; knows neither models nor caches.
 */
import { GgmlType, rowBytes, typeTraits } from './types.js';

/** What one layer keeps of a position; all 0 where it keeps nothing. */
export interface CacheRows {
  /** Heads of keys and of values. */
  readonly heads: number;
  /** Elements of all heads' keys. */
  readonly kRow: number;
  /** Elements of all heads' values. */
  readonly vRow: number;
}

/** Bytes of the scales of a head's keys and values. */
const scaleBytes = 8;
/** Positions whose integers lie together (see `native/src/attention_block.h`). */
const integerBlock = 64;
/** The kernels take heads of integers in whole tiles, and no longer ones. */
const integerStep = 64;
const longestIntegerHead = 256;

/**
 * Elements that a position takes in the tensors of keys and of values. With 16-bit integers the keys
 * have room for an F32 scale of each head's keys and one of its values.
 */
export function storedRows(
  type: GgmlType,
  { heads, kRow, vRow }: CacheRows,
): { readonly keys: number; readonly values: number } {
  const scales = type === GgmlType.I16 ? (heads * scaleBytes) / rowBytes(type, 1) : 0;
  return { keys: kRow + scales, values: vRow };
}

/** Positions that a tensor needs for `count` of them: 16-bit integers lie in blocks. */
export function storedPositions(type: GgmlType, count: number): number {
  const block = type === GgmlType.I16 ? integerBlock : 1;
  return Math.ceil(count / block) * block;
}

/**
 * Bytes of one position in all layers.
 * @throws {RangeError} where rows do not fit the type (`rowsFit`).
 */
export function positionBytes(type: GgmlType, layout: readonly CacheRows[]): number {
  return layout.reduce((sum, rows) => {
    const { keys, values } = storedRows(type, rows);
    return sum + rowBytes(type, keys) + rowBytes(type, values);
  }, 0);
}

/**
 * Whether a type can hold rows: each head in whole blocks of its own, and as integers only heads that
 * the kernels take.
 */
export function rowsFit(type: GgmlType, { heads, kRow, vRow }: CacheRows): boolean {
  const integers = type === GgmlType.I16;
  const step = integers ? integerStep : typeTraits(type).blockSize;
  const longest = integers ? longestIntegerHead : Number.POSITIVE_INFINITY;
  return [kRow, vRow].every(
    (row) => row === 0 || (row % (heads * step) === 0 && row / heads <= longest),
  );
}
