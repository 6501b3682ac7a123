/** Rows of activations as native operations take them: at even distances, with one stride. */
import type { Graph } from '../graph.js';
import type { Tensor } from '../tensor.js';
import { GgmlType, rowBytes } from '../types.js';
import type { ParameterValues } from './parameters.js';

/** Whether the pass that makes `result` can add `other`: the same shape, or one row for all. */
export function addsEvenly(other: Tensor, result: Tensor): boolean {
  if (other.type !== GgmlType.F32 || !other.contiguousFrom(1)) return false;
  const same = other.shape.every((extent, axis) => extent === result.shape[axis as 0]);
  return same || (other.shape[0] === result.shape[0] && other.elements === other.shape[0]);
}

/** The fields for a tensor that is added to a result: its rows, or one row for all. */
export function residualOf(residual: Tensor): ParameterValues {
  const one = residual.elements === residual.shape[0];
  return { residual, residual_stride: one ? 0 : rowStride(residual) };
}

/** Rows at even distances, copied if need be. */
export function evenRows(graph: Graph, x: Tensor): Tensor {
  return x.contiguousFrom(1) ? x : graph.cont(x);
}

/** Bytes from a row to the next, whatever axis it is on. */
export function rowStride(x: Tensor): number {
  return x.shape[1] === 1 ? rowBytes(x.type, x.shape[0]) : x.strides[1];
}
