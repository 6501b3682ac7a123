/**
 * Short gated convolutions by our own kernel. Reads the state of each sequence and writes the next one.
 * A row's result is the same bytes however its text was split into passes (see
 * `native/include/paceline_recurrent.h`).
 */
import type { Graph } from '../graph.js';
import { fail, requireType } from '../graph-core.js';
import { shortConvolutionShape } from '../recurrent-shape.js';
import type { Tensor } from '../tensor.js';
import { GgmlType } from '../types.js';
import type { NativeKernels } from './library.js';
import { customWith } from './operation.js';
import {
  checkRecurrentSlices,
  type RecurrentSlice,
  recurrentSliceList,
} from './recurrent-slices.js';

/** Rows that the operation's kernels may cover. */
export const mostShortConvolution = 8;

/**
 * mix [3 * channels, T], of each row what goes in, the gate of what comes out, and the values; with
 * weights [kernel, channels]: [channels, T]. @throws {PacelineError} `graph` when tensors do not fit.
 */
export function shortConvolution(
  kernels: NativeKernels,
  graph: Graph,
  mix: Tensor,
  weights: Tensor,
  slices: readonly RecurrentSlice[],
): Tensor {
  const name = 'short_conv';
  const [kernel, channels] = weights.shape;
  const rows = mix.shape[1];
  for (const tensor of [mix, weights]) requireType(name, tensor, GgmlType.F32);
  if (kernel > mostShortConvolution || weights.elements !== kernel * channels) {
    fail(name, 'not a kernel', weights);
  }
  const fits = mix.shape[0] === 3 * channels && mix.elements === 3 * channels * rows;
  if (!fits || !mix.rowContiguous || !weights.contiguous) fail(name, 'do not fit', mix, weights);
  checkRecurrentSlices(name, slices, shortConvolutionShape({ kernel, channels }), mix);
  const list = recurrentSliceList(kernels, graph, name, slices);
  return customWith(
    graph,
    kernels,
    name,
    { type: GgmlType.F32, shape: [channels, rows], sources: [mix, weights] },
    (into, out) =>
      into.write({
        mix,
        mix_stride: mix.strides[1],
        conv: weights,
        kernel,
        channels,
        out,
        out_stride: out.strides[1],
        slices: list,
        slice_count: slices.length,
      }),
  );
}
