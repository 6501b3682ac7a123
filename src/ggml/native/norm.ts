/**
 * RMS norms by our kernels. Products that read a norm compute it themselves while they quantise (see
 * `normOf`); this is for all other readers, and can add a residual on the way.
 */
import { noteAdder, noteNorm } from '../fusion.js';
import type { Graph } from '../graph.js';
import type { Tensor } from '../tensor.js';
import { GgmlType } from '../types.js';
import type { NativeKernels } from './library.js';
import { customWith, worthSharing } from './operation.js';
import { addsEvenly, residualOf, rowStride } from './rows.js';

/**
 * x / sqrt(mean(x^2) + epsilon) * weight over the first axis of x [k, ...]; weight [k].
 * @returns undefined for tensors that the kernel does not take.
 */
export function nativeNorm(
  kernels: NativeKernels,
  graph: Graph,
  x: Tensor,
  weight: Tensor,
  epsilon: number,
): Tensor | undefined {
  const [k] = x.shape;
  const plain = x.type === GgmlType.F32 && x.contiguousFrom(1);
  if (!plain || weight.type !== GgmlType.F32 || weight.elements !== k) return undefined;
  const make = (residual?: Tensor) =>
    customWith(
      graph,
      kernels,
      'rms_norm',
      {
        type: GgmlType.F32,
        shape: x.shape,
        sources: residual === undefined ? [x, weight] : [x, weight, residual],
        ...(x.elements < worthSharing ? { tasks: 1 } : {}),
      },
      (into, dst) => {
        const rows = x.elements / k;
        into.write({ x, x_stride: rowStride(x), k, rows, weight, eps: epsilon, dst });
        if (residual !== undefined) into.write(residualOf(residual));
      },
    );
  const result = make();
  noteNorm(result, { x, weight, epsilon });
  noteAdder(result, (other) => (addsEvenly(other, result) ? make(other) : undefined));
  return result;
}
