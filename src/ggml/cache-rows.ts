/**
 * How the rows of a KV cache lie in memory, by element type: the one place that knows what a type
 * adds to the elements that a model asks for. Pure arithmetic; knows neither models nor caches.
 */
import { PacelineError } from '../base/errors.js';
import { GgmlType, rowBytes, typeName, typeTraits } from './types.js';

const infiniteHalf = 0x7c00;

/** Whether stored rows, as bytes, have a number that their type could not hold and made infinite. */
export function overflowed(type: GgmlType, rows: Uint8Array): boolean {
  if (type !== GgmlType.F16 && type !== GgmlType.Q8_0) return false;
  const step = typeTraits(type).blockBytes; // a block of Q8_0 begins with its scale
  for (let at = 0; at < rows.length; at += step) {
    const half = (rows[at] ?? 0) | ((rows[at + 1] ?? 0) << 8);
    if ((half & 0x7fff) === infiniteHalf) return true;
  }
  return false;
}

/** What a computation ends with whose keys or values are too large for the type of their cache. */
export function cacheOverflow(type: GgmlType): PacelineError {
  const kvType = typeName(type).toLowerCase();
  return new PacelineError(
    'bad-weights',
    `Keys or values of this model are too large for a KV cache of ${kvType}`,
    {
      hint:
        "Load it with --kv f32 (kvType: 'f32'), which holds every number, or with i16 if its heads " +
        'have a multiple of 64 elements.',
      details: { kvType },
    },
  );
}

/** What one layer keeps of a position; all 0 where it keeps nothing. */
export interface RowShape {
  /** Heads of keys and of values. */
  readonly heads: number;
  /** Elements of all heads' keys. */
  readonly keys: number;
  /** Elements of all heads' values; 0 where they are a part of the keys. */
  readonly values: number;
  /** With one head: so many elements at the end of the keys also are the values. */
  readonly valuesInKeys?: number;
}

/** Bytes of the scales of a head's keys and values. */
const scaleBytes = 8;
/** Positions whose integers lie together (see `native/src/attention/block.h`). */
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
  { heads, keys, values }: RowShape,
): { readonly keys: number; readonly values: number } {
  const scales = type === GgmlType.I16 ? (heads * scaleBytes) / rowBytes(type, 1) : 0;
  return { keys: keys + scales, values };
}

/** Positions that a tensor needs for `count` of them: 16-bit integers lie in blocks. */
export function storedPositions(type: GgmlType, count: number): number {
  const block = type === GgmlType.I16 ? integerBlock : 1;
  return Math.ceil(count / block) * block;
}

/** Bytes that lie together. */
export interface ByteSpan {
  readonly start: number;
  readonly bytes: number;
}

/** Columns of a tile of integers, bytes of one of its rows of four numbers, and of its upper half. */
const tileColumns = 16;
const tileRow = 64;
const halfTile = 1024;

/**
 * Where the first `count` positions of a block of 16-bit integers lie, fewer than it has: keys in tiles
 * of 16 positions, behind them the scales of all; values in tiles whose upper and lower halves go through
 * the positions by fours.
 */
export function integerSpans(
  { heads, keys, values }: RowShape,
  which: 'keys' | 'values',
  count: number,
): ByteSpan[] {
  const width = (which === 'keys' ? keys : values) / Math.max(1, heads);
  const numbers = integerBlock * 2 * width;
  const scales = which === 'keys' ? integerBlock * scaleBytes : 0;
  return Array.from({ length: heads }, (_, head): ByteSpan[] => {
    const start = head * (numbers + scales);
    if (which === 'keys') {
      const used = Math.ceil(count / tileColumns) * tileColumns * 2 * width;
      return [
        { start, bytes: used },
        { start: start + numbers, bytes: scales },
      ];
    }
    return Array.from({ length: numbers / halfTile }, (_, half) => ({
      start: start + half * halfTile,
      bytes: Math.ceil(count / 4) * tileRow,
    }));
  }).flat();
}

/**
 * Bytes of one position in all layers.
 * @throws {RangeError} where rows do not fit the type (`rowsFit`).
 */
export function positionBytes(type: GgmlType, shapes: readonly RowShape[]): number {
  return shapes.reduce((sum, shape) => {
    const { keys, values } = storedRows(type, shape);
    return sum + rowBytes(type, keys) + rowBytes(type, values);
  }, 0);
}

/** Bytes that caches of these layers take for so many positions. @throws as `positionBytes`. */
export function cacheBytes(type: GgmlType, shapes: readonly RowShape[], positions: number): number {
  return positionBytes(type, shapes) * storedPositions(type, positions);
}

/**
 * Whether a type can hold rows: each head in whole blocks of its own, and as integers only heads that
 * the kernels take.
 */
export function rowsFit(type: GgmlType, shape: RowShape): boolean {
  const { heads, keys, values, valuesInKeys = 0 } = shape;
  const integers = type === GgmlType.I16;
  // Integers of keys and of values lie in other orders, and blocks must not be cut.
  if (valuesInKeys > 0 && integers) return false;
  if ((keys - valuesInKeys) % typeTraits(type).blockSize !== 0 && valuesInKeys > 0) return false;
  const step = integers ? integerStep : typeTraits(type).blockSize;
  const longest = integers ? longestIntegerHead : Number.POSITIVE_INFINITY;
  return [keys, values].every(
    (row) => row === 0 || (row % (heads * step) === 0 && row / heads <= longest),
  );
}
