/**
 * The gated delta rule over the sequences' states (Gated DeltaNet, arXiv 2412.06464): what a layer has
 * seen is a matrix a head that every row decays and corrects, behind a short causal convolution. The
 * one place where it is decided which kernel does it: there is one, our own.
 */
import type { Graph } from '../ggml/graph.js';
import {
  type DeltaNetInput,
  deltaNet,
  mostConvolution,
  mostHeadLength,
} from '../ggml/native/delta-net.js';
import type { DeltaNetSizes } from '../ggml/recurrent-shape.js';
import type { Tensor } from '../ggml/tensor.js';
import { foldedSlices, requireRecurrentKernels } from './folded-state.js';
import type { Metadata } from './metadata.js';
import type { ForwardBatch } from './model.js';

/**
 * The sizes that a file says its layers of linear attention have.
 * @throws {PacelineError} `broken-file` for sizes that cannot belong together, `platform` without the
 *   native kernels: ggml's operations do not give a row the same bytes in every batch, and cannot undo
 *   rows.
 */
export function readDeltaNet(m: Metadata): DeltaNetSizes {
  requireRecurrentKernels();
  const sizes = {
    keyHeads: m.count('ssm.group_count'),
    valueHeads: m.count('ssm.time_step_rank'),
    headLength: m.count('ssm.state_size'),
    kernel: m.count('ssm.conv_kernel'),
  };
  const { keyHeads, valueHeads, headLength, kernel } = sizes;
  if (valueHeads % keyHeads !== 0) {
    throw m.bad('ssm.time_step_rank', `is ${valueHeads}, no multiple of the ${keyHeads} groups`);
  }
  if (m.count('ssm.inner_size') !== headLength * valueHeads) {
    throw m.bad('ssm.inner_size', `is not that of ${valueHeads} heads of ${headLength}`);
  }
  if (headLength > mostHeadLength)
    throw m.bad('ssm.state_size', `is ${headLength}, at most ${mostHeadLength}`);
  if (kernel > mostConvolution)
    throw m.bad('ssm.conv_kernel', `is ${kernel}, at most ${mostConvolution}`);
  return sizes;
}

/** [head * valueHeads, T]; see `DeltaNetInput` for the shapes of the input. */
export function deltaRule(
  graph: Graph,
  batch: ForwardBatch,
  layer: number,
  input: DeltaNetInput,
  options: DeltaNetSizes & { readonly epsilon: number },
): Tensor {
  return deltaNet(requireRecurrentKernels(), graph, input, foldedSlices(batch, layer), options);
}
