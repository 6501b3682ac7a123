/**
 * The gated delta rule behind a causal convolution by our own kernels (Gated DeltaNet, arXiv
 * 2412.06464). Reads the state of each sequence and writes the next one. A row's result is the same
 * bytes however its text was split into passes (see `native/include/paceline_recurrent.h`).
 */
import type { Graph } from '../graph.js';
import { fail, requireType } from '../graph-core.js';
import { type DeltaNetSizes, deltaNetChannels, deltaNetShape } from '../recurrent-shape.js';
import type { Tensor } from '../tensor.js';
import { GgmlType } from '../types.js';
import type { NativeKernels } from './library.js';
import { customWith } from './operation.js';
import {
  checkRecurrentSlices,
  type RecurrentSlice,
  recurrentSliceList,
} from './recurrent-slices.js';

export interface DeltaNetInput {
  /** [channels, T]: queries and keys of all key heads, values of all value heads. */
  readonly mix: Tensor;
  /** [value heads, T], before its sigmoid: how much of a correction is made. */
  readonly beta: Tensor;
  /** [value heads, T], before bias and softplus: how much is forgotten. */
  readonly alpha: Tensor;
  /** [kernel, channels]. */
  readonly convolution: Tensor;
  /** [value heads]. */
  readonly bias: Tensor;
  /** [value heads], not positive. */
  readonly decay: Tensor;
}

/** Heads and kernels that the operation takes. */
export const mostHeadLength = 256;
export const mostConvolution = 8;

/** One output a row: [head * valueHeads, T]. @throws {PacelineError} `graph` when tensors do not fit. */
export function deltaNet(
  kernels: NativeKernels,
  graph: Graph,
  input: DeltaNetInput,
  slices: readonly RecurrentSlice[],
  options: DeltaNetSizes & { readonly epsilon: number },
): Tensor {
  check(input, slices, options);
  const { mix, beta, alpha, convolution, bias, decay } = input;
  const { keyHeads, valueHeads, headLength, kernel, epsilon } = options;
  const list = recurrentSliceList(kernels, graph, 'delta_net', slices);
  const rows = mix.shape[1];
  return customWith(
    graph,
    kernels,
    'delta_net',
    {
      type: GgmlType.F32,
      shape: [headLength * valueHeads, rows],
      sources: [mix, beta, alpha, convolution, bias, decay],
    },
    (into, out) =>
      into.write({
        mix,
        mix_stride: mix.strides[1],
        beta,
        beta_stride: beta.strides[1],
        alpha,
        alpha_stride: alpha.strides[1],
        conv: convolution,
        kernel,
        bias,
        decay,
        key_heads: keyHeads,
        value_heads: valueHeads,
        dim: headLength,
        eps: epsilon,
        out,
        out_stride: out.strides[1],
        slices: list,
        slice_count: slices.length,
      }),
  );
}

function check(input: DeltaNetInput, slices: readonly RecurrentSlice[], sizes: DeltaNetSizes) {
  const { mix, beta, alpha, convolution, bias, decay } = input;
  const { keyHeads, valueHeads, headLength, kernel } = sizes;
  if (headLength > mostHeadLength || kernel > mostConvolution || valueHeads % keyHeads !== 0) {
    fail('delta_net', `heads of ${headLength}, ${keyHeads} and ${valueHeads}, kernel ${kernel}`);
  }
  const channels = deltaNetChannels(sizes);
  const rows = mix.shape[1];
  for (const [tensor, width, height] of [
    [mix, channels, rows],
    [beta, valueHeads, rows],
    [alpha, valueHeads, rows],
    [convolution, kernel, channels],
    [bias, valueHeads, 1],
    [decay, valueHeads, 1],
  ] as const) {
    requireType('delta_net', tensor, GgmlType.F32);
    const fits = tensor.shape[0] === width && tensor.elements === width * height;
    if (!fits || !tensor.rowContiguous) fail('delta_net', `not [${width}, ${height}]`, tensor);
  }
  if (!convolution.contiguous) fail('delta_net', 'needs a contiguous tensor', convolution);
  checkRecurrentSlices('delta_net', slices, deltaNetShape(sizes), mix);
}
