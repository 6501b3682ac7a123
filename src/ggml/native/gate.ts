/**
 * Activations by our kernels where they stand behind no product of ours: gates of attention and of
 * networks, soft caps. An element's result does not depend on the others.
 */
import type { Graph } from '../graph.js';
import type { Tensor } from '../tensor.js';
import { GgmlType } from '../types.js';
import type { Activation } from '../weight.js';
import type { NativeKernels } from './library.js';
import { customWith, worthSharing } from './operation.js';

const kinds: Readonly<Record<Activation | 'sigmoid', number>> = {
  silu: 1,
  gelu: 2,
  sigmoid: 3,
  'swiglu-oai': 5,
};
const capping = 4;

/**
 * activation(gate) * up of one shape.
 * @returns undefined for tensors that the kernel does not take.
 */
export function nativeGate(
  kernels: NativeKernels,
  graph: Graph,
  gate: Tensor,
  up: Tensor,
  activation: Activation | 'sigmoid',
): Tensor | undefined {
  if (!gate.shape.every((extent, axis) => extent === up.shape[axis as 0])) return undefined;
  if (!plain(gate) || !plain(up)) return undefined;
  return make(kernels, graph, [gate, up], kinds[activation], 1);
}

/** cap * tanh(x / cap). @returns undefined for tensors that the kernel does not take. */
export function nativeCap(
  kernels: NativeKernels,
  graph: Graph,
  x: Tensor,
  cap: number,
): Tensor | undefined {
  return plain(x) ? make(kernels, graph, [x], capping, cap) : undefined;
}

function plain(x: Tensor): boolean {
  return x.type === GgmlType.F32 && x.contiguous;
}

function make(
  kernels: NativeKernels,
  graph: Graph,
  [a, b]: readonly [Tensor, Tensor?],
  kind: number,
  cap: number,
): Tensor {
  const options = {
    type: GgmlType.F32,
    shape: a.shape,
    sources: b === undefined ? [a] : [a, b],
    ...(a.elements < worthSharing ? { tasks: 1 } : {}),
  };
  return customWith(graph, kernels, 'gate', options, (into, dst) => {
    into.write({ a, dst, count: a.elements, kind, cap });
    if (b !== undefined) into.write({ b });
  });
}
