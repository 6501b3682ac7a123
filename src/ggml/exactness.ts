/**
 * Whether a row of a product is the same bytes whatever rows are computed with it. Our kernels guarantee
 * it for all their types; ggml's operations hold it for some, for others up to a number of rows. What
 * is said here of ggml 0.25.1 is measured (`test/ggml/exactness.long.ts` measures it again).
 */
import { GgmlType } from './types.js';

/** Multiplied in tiles of rows, whose sums run in another order, from two rows on. */
const tiled: ReadonlySet<GgmlType> = new Set([
  ...[GgmlType.F32, GgmlType.F16, GgmlType.BF16, GgmlType.IQ4_NL],
]);
/** Unpacked once for many rows, with another rounding, from eight rows of a matrix on. */
const unpacked: ReadonlySet<GgmlType> = new Set([
  ...[GgmlType.IQ1_S, GgmlType.IQ1_M, GgmlType.IQ2_XXS, GgmlType.IQ2_XS, GgmlType.IQ2_S],
  ...[GgmlType.IQ3_XXS, GgmlType.IQ3_S, GgmlType.IQ4_XS],
]);
const unpackedFrom = 8;

/** How a weight's products are computed. */
export interface ProductPath {
  /** By our kernels, or by ggml's operations. */
  readonly native: boolean;
  /** Whether each row chooses its matrix (`mul_mat_id`). */
  readonly experts?: boolean;
  /** Default: this process's. */
  readonly arch?: string;
}

/**
 * The most rows that one operation may take so that each row's result is the one that it has alone:
 * `Infinity` where results do not depend on the batch. Callers cut batches accordingly, so that no
 * weight type makes a text depend on what is computed beside it.
 */
export function exactRows(type: GgmlType, path: ProductPath): number {
  if (path.native) return Number.POSITIVE_INFINITY;
  if (unpacked.has(type)) return path.experts ? unpackedFrom - 1 : 1;
  if (path.experts) return Number.POSITIVE_INFINITY;
  // Processors other than x64 multiply pairs of rows of most types.
  const pairs = (path.arch ?? process.arch) !== 'x64';
  return pairs || tiled.has(type) ? 1 : Number.POSITIVE_INFINITY;
}
