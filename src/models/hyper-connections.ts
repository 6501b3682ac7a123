/**
 * Manifold-constrained hyper-connections (arXiv 2512.24880): the residual is several streams, one behind the
 * other in a row. A sublayer reads a sum of them, and its output goes to all of them, which are
 * mixed by a matrix whose rows and columns add up to about 1; the weights come from the row itself.
 */
import type { Graph } from '../ggml/graph.js';
import {
  joinStreams,
  type MixOptions,
  mostStreams,
  spreadStreams,
  streamMix,
} from '../ggml/native/streams.js';
import type { Tensor } from '../ggml/tensor.js';
import { GgmlType } from '../ggml/types.js';
import type { Weight } from '../ggml/weight.js';
import { requireKernels } from './folded-state.js';
import type { Metadata } from './metadata.js';
import type { WeightLoader } from './weights.js';

/** The kernels, which these layers cannot do without. @throws {PacelineError} `platform`. */
const kernels = () => requireKernels('Hyper-connections');

export interface HyperConnections extends MixOptions {
  /** Epsilon of the norm of the whole row. */
  readonly normEpsilon: number;
}

/** @throws {PacelineError} `broken-file` for more streams than the kernels take, `platform` without them. */
export function readHyperConnections(m: Metadata, normEpsilon: number): HyperConnections {
  kernels();
  const key = 'hyper_connection.count';
  const streams = m.count(key);
  if (streams > mostStreams) throw m.bad(key, `is ${streams}, at most ${mostStreams}`);
  const iterations = m.count('hyper_connection.sinkhorn_iterations');
  if (iterations > mostIterations) {
    throw m.bad('hyper_connection.sinkhorn_iterations', `is ${iterations}`);
  }
  const epsilon = m.notNegative('hyper_connection.epsilon');
  return { streams, iterations, epsilon, normEpsilon };
}

/** More would not change a bit, and only take time. */
const mostIterations = 1000;

/** What tells the weights of a mix from a row. */
export interface Mixer {
  /** [streams * embedding, count]. */
  readonly matrix: Weight;
  readonly scale: Weight;
  readonly base: Weight;
}

/** @param name without `_fn.weight`; `head`: of a sum alone. */
export function declareMixer(
  w: WeightLoader,
  name: string,
  embedding: number,
  { streams }: HyperConnections,
  head = false,
): Mixer {
  const count = head ? streams : streams * (2 + streams);
  return {
    matrix: w.matrix(`${name}_fn.weight`, [streams * embedding, count]),
    scale: w.vector(`${name}_scale.weight`, head ? 1 : 3),
    base: w.vector(`${name}_base.weight`, count),
  };
}

/** A row [embedding, T] as that many equal streams: [streams * embedding, T]. */
export function repeatStreams(graph: Graph, x: Tensor, streams: number): Tensor {
  const repeat = (count: number): Tensor => {
    if (count === 1) return x;
    const half = repeat(count >> 1);
    const even = graph.concat(half, half, 0);
    return count % 2 === 0 ? even : graph.concat(even, x, 0);
  };
  return repeat(streams);
}

/** A sum of streams, and how what is made of it goes back to them. */
export interface Joined {
  /** [embedding, T]. */
  readonly sum: Tensor;
  readonly mix: Tensor;
}

/** What a sublayer, or the head, sees of the streams x [streams * embedding, T]. */
export function join(graph: Graph, mixer: Mixer, x: Tensor, h: HyperConnections): Joined {
  const normed = graph.rmsNorm(x, undefined, h.normEpsilon);
  const mixes = graph.linear(mixer.matrix, normed);
  const mix = streamMix(kernels(), graph, mixes, [mixer.scale.tensor, mixer.base.tensor], h);
  return { sum: joinStreams(kernels(), graph, x, mix, h.streams), mix };
}

/** The streams behind a sublayer that made y [embedding, T] of their sum. */
export function spread(
  graph: Graph,
  y: Tensor,
  x: Tensor,
  mix: Tensor,
  { streams }: HyperConnections,
): Tensor {
  return spreadStreams(kernels(), graph, [y, x], mix, streams);
}

/** The mean of the streams: [embedding, T]. */
export function meanOfStreams(graph: Graph, x: Tensor, streams: number): Tensor {
  const rows = x.shape[1];
  const name = `mean of ${streams} streams, ${rows} rows`;
  const mix = graph.shared(name, () => {
    const equal = new Float32Array(streams * rows).fill(1 / streams);
    return graph.input(name, GgmlType.F32, [streams, rows], equal);
  });
  return joinStreams(kernels(), graph, x, mix, streams);
}
