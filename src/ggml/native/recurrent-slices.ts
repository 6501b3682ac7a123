/** The rows of a batch, sequence by sequence, for kernels of layers that fold what they have seen. */
import type { Graph } from '../graph.js';
import { fail } from '../graph-core.js';
import { loggedRows, type RecurrentShape, stateElements } from '../recurrent-shape.js';
import type { Tensor } from '../tensor.js';
import type { NativeKernels } from './library.js';
import { dataOf, structList } from './struct-list.js';

/**
 * Batch rows [start, start + count) of one sequence. Where its states lie is read again before every
 * computation of the graph.
 */
export interface RecurrentSlice {
  /** The state before the rows; undefined: nothing was seen. */
  readonly from: Tensor | undefined;
  /** The state after them: another tensor. */
  readonly to: Tensor;
  /** Rows in the log of `from`. */
  readonly logged: number;
  readonly start: number;
  readonly count: number;
}

/** An array of `pl_recurrent_slice`, bound before every run; its address. */
export function recurrentSliceList(
  kernels: NativeKernels,
  graph: Graph,
  operation: string,
  slices: readonly RecurrentSlice[],
): number {
  return structList(kernels, graph, {
    name: 'pl_recurrent_slice',
    items: slices,
    fixed: ({ start, count }) => ({ first: start, count }),
    bound: ({ from, to, logged }) => ({
      from: from === undefined ? 0 : dataOf(graph, operation, from),
      to: dataOf(graph, operation, to),
      logged,
    }),
  });
}

/** @throws {PacelineError} `graph` when states or rows do not fit. */
export function checkRecurrentSlices(
  operation: string,
  slices: readonly RecurrentSlice[],
  shape: RecurrentShape,
  mix: Tensor,
): void {
  const elements = stateElements(shape);
  for (const { from, to, logged, start, count } of slices) {
    if (to.elements !== elements || (from && from.elements !== elements) || from === to) {
      fail(operation, 'the states do not fit', to);
    }
    if (logged < 0 || logged > loggedRows || start < 0 || start + count > mix.shape[1]) {
      fail(operation, `${count} rows from ${start} on behind ${logged}`, mix);
    }
  }
}
