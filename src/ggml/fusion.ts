/**
 * What is remembered of some tensors so that a later operation can do their work in its own pass: a
 * norm in front of a product, a sum behind it. The tensor that is no longer asked for is not in the
 * graph, so nothing is computed twice unless both are wanted. Knows no kernel.
 */
import type { Tensor } from './tensor.js';

/** y = x / sqrt(mean(x^2) + epsilon) * weight. */
export interface Norm {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly epsilon: number;
}

const norms = new WeakMap<Tensor, Norm>();
const adders = new WeakMap<Tensor, (other: Tensor) => Tensor | undefined>();

/** Remembers that `result` is a norm. */
export function noteNorm(result: Tensor, norm: Norm): void {
  norms.set(result, norm);
}

/** What `tensor` is the norm of, if it is one. */
export function normOf(tensor: Tensor): Norm | undefined {
  return norms.get(tensor);
}

/** Has `make` asked for the sum of `result` and another tensor; undefined: it cannot. */
export function noteAdder(result: Tensor, make: (other: Tensor) => Tensor | undefined): void {
  adders.set(result, make);
}

/** a + b in the pass that makes one of them, where that is possible. */
export function fusedSum(a: Tensor, b: Tensor): Tensor | undefined {
  return adders.get(b)?.(a) ?? adders.get(a)?.(b);
}
