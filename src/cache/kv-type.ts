/**
 * Element types of KV caches: their names, and which of them a model gets. Knows no model but by the
 * rows that its layers keep.
 */
import { PacelineError } from '../base/errors.js';
import { type RowShape, rowsFit } from '../ggml/cache-rows.js';
import { GgmlType } from '../ggml/types.js';
import type { KvType } from './kv-names.js';

/** The element type for a name that users give. */
export function cacheType(name: KvType): GgmlType {
  const types = { f16: GgmlType.F16, q8_0: GgmlType.Q8_0, f32: GgmlType.F32, i16: GgmlType.I16 };
  return types[name];
}

/** Paths with fast products of bytes. */
const integerPaths: readonly (string | undefined)[] = ['amx', 'avx512vbmi', 'avx512'];

/**
 * The type of a cache with these rows, one entry a layer, when nobody asks for one. Products with
 * integers are exact, so that any instruction for bytes can compute them and a row's result still has
 * the same bytes in every batch: with AVX-512 VNNI integers are about as fast as f16 for one row and
 * faster for several, with AMX much faster. On other paths f16 is faster. Integers take the memory of
 * f16 and round less, unless one element of a head is far larger than the others.
 * @param path that of the native kernels; undefined where there are none.
 */
export function usualKvType(layout: readonly RowShape[], path: string | undefined): KvType {
  const kept = layout.some(({ keys }) => keys > 0);
  return integerPaths.includes(path) && kept && layout.every((rows) => rowsFit(GgmlType.I16, rows))
    ? 'i16'
    : 'f16';
}

/**
 * The type of a cache: what was asked for, or the usual one.
 * @throws {PacelineError} `usage` when the rows or this machine cannot have what was asked for.
 */
export function chooseKvType(
  wanted: KvType | undefined,
  layout: readonly RowShape[],
  path: string | undefined,
): KvType {
  if (wanted === undefined) return usualKvType(layout, path);
  const hint = 'Use the f16 KV cache (--kv f16).';
  const misfit = layout.find((rows) => !rowsFit(cacheType(wanted), rows));
  if (misfit !== undefined) {
    const { heads, keys, values } = misfit;
    const why =
      wanted === 'i16'
        ? `its heads of ${keys / heads} elements are not a multiple of 64 up to 256`
        : `its heads of ${keys / heads} and ${values / heads} elements are not whole blocks`;
    throw new PacelineError('usage', `This model's KV cache can't be ${wanted}: ${why}`, {
      hint,
      details: { kvType: wanted, ...misfit },
    });
  }
  if (wanted === 'i16' && path === undefined) {
    throw new PacelineError('usage', 'A KV cache of i16 needs the native kernels', {
      hint: `${hint} \`paceline devices\` says why there are none.`,
      details: { kvType: wanted },
    });
  }
  return wanted;
}
