/**
 * Hyper-connections by our own kernels (manifold-constrained: arXiv 2512.24880): a residual of several
 * streams, one behind the other in a row, which are mixed anew before and behind every sublayer; and the
 * ratings and gates that come with them in DeepSeek V4 (see `native/include/paceline_compressed.h`).
 */
import type { Graph } from '../graph.js';
import { fail, requireContiguous, requireType } from '../graph-core.js';
import type { Tensor } from '../tensor.js';
import { GgmlType } from '../types.js';
import type { NativeKernels } from './library.js';
import { customWith, worthSharing } from './operation.js';

/** Most streams of a residual. */
export const mostStreams = 8;

export interface MixOptions {
  readonly streams: number;
  /** Rounds of Sinkhorn's normalisation. */
  readonly iterations: number;
  readonly epsilon: number;
}

/**
 * How a residual is mixed: mixes [count, T], the product of a matrix with its rows, becomes weights of the
 * same shape. `count` is `streams` for the weights of a sum alone, or `streams * (2 + streams)`.
 */
export function streamMix(
  kernels: NativeKernels,
  graph: Graph,
  mixes: Tensor,
  [scale, base]: readonly [Tensor, Tensor],
  { streams, iterations, epsilon }: MixOptions,
): Tensor {
  const name = 'stream_mix';
  const [count, rows] = mixes.shape;
  const whole = count === streams * (2 + streams);
  for (const tensor of [mixes, scale, base]) {
    requireType(name, tensor, GgmlType.F32);
    requireContiguous(name, tensor);
  }
  if (streams > mostStreams || !(whole || count === streams)) fail(name, `${streams}`, mixes);
  if (base.elements !== count || scale.elements !== (whole ? 3 : 1)) fail(name, 'no fit', base);
  const options = { type: GgmlType.F32, shape: [count, rows], sources: [mixes, scale, base] };
  return customWith(graph, kernels, name, { ...options, ...small(rows * 1024) }, (into, out) =>
    into.write({ mixes, scale, base, count, streams, rows, iterations, eps: epsilon, out }),
  );
}

/** The sum of the streams of x [width * streams, T], weighed by a mix: [width, T]. */
export function joinStreams(
  kernels: NativeKernels,
  graph: Graph,
  x: Tensor,
  mix: Tensor,
  streams: number,
): Tensor {
  const name = 'stream_join';
  checkRows(name, x, mix);
  const [count, rows] = mix.shape;
  const width = x.shape[0] / streams;
  const options = { type: GgmlType.F32, shape: [width, rows], sources: [x, mix] };
  return customWith(graph, kernels, name, { ...options, ...small(x.elements) }, (into, out) =>
    into.write({ x, mix, count, streams, width, rows, out }),
  );
}

/** The streams behind a sublayer that made y [width, T] of x [width * streams, T]: as x. */
export function spreadStreams(
  kernels: NativeKernels,
  graph: Graph,
  [y, x]: readonly [Tensor, Tensor],
  mix: Tensor,
  streams: number,
): Tensor {
  const name = 'stream_spread';
  checkRows(name, x, mix);
  checkRows(name, y, mix);
  const [count, rows] = mix.shape;
  const width = y.shape[0];
  if (x.shape[0] !== width * streams || count !== streams * (2 + streams)) fail(name, 'no fit', y);
  const options = { type: GgmlType.F32, shape: [x.shape[0], rows], sources: [y, x, mix] };
  return customWith(graph, kernels, name, { ...options, ...small(x.elements) }, (into, out) =>
    into.write({ y, x, mix, count, streams, width, rows, out }),
  );
}

/** sqrt(ln(1 + e^x)), element by element. */
export function rootSoftplus(kernels: NativeKernels, graph: Graph, x: Tensor): Tensor {
  const name = 'root_softplus';
  requireType(name, x, GgmlType.F32);
  requireContiguous(name, x);
  const options = { type: GgmlType.F32, shape: x.shape, sources: [x] };
  return customWith(graph, kernels, name, { ...options, ...small(x.elements * 8) }, (into, out) =>
    into.write({ x, out, count: x.elements }),
  );
}

/** silu(min(gate, limit)) * clamp(up, -limit, limit), of one shape. */
export function clampedGate(
  kernels: NativeKernels,
  graph: Graph,
  [gate, up]: readonly [Tensor, Tensor],
  limit: number,
): Tensor {
  const name = 'clamped_gate';
  for (const tensor of [gate, up]) {
    requireType(name, tensor, GgmlType.F32);
    requireContiguous(name, tensor);
  }
  if (!gate.shape.every((extent, axis) => extent === up.shape[axis as 0])) fail(name, 'no fit', up);
  const options = { type: GgmlType.F32, shape: gate.shape, sources: [gate, up] };
  return customWith(graph, kernels, name, { ...options, ...small(gate.elements) }, (into, out) =>
    into.write({ gate, up, out, count: gate.elements, limit }),
  );
}

function checkRows(name: string, x: Tensor, mix: Tensor): void {
  for (const tensor of [x, mix]) {
    requireType(name, tensor, GgmlType.F32);
    requireContiguous(name, tensor);
  }
  if (x.elements !== x.shape[0] * mix.shape[1]) fail(name, 'the rows differ', x, mix);
}

/** Little work stays on the thread that walks the graph. */
function small(elements: number): { readonly tasks?: number } {
  return elements < worthSharing ? { tasks: 1 } : {};
}
