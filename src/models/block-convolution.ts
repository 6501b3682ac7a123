/**
 * DFlash2's convolutions inside a block: each row becomes a sum of itself and the rows before it in its block,
 * channel by channel, with weights that are partly learnt and partly, by groups of channels, made of the row
 * itself. One stands before a sublayer (side 0) and one behind it (side 1); one product gives both their weights.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import { GgmlType } from '../ggml/types.js';
import type { Weight } from '../ggml/weight.js';
import { declareLinear, type Linear, linear } from './layers.js';
import type { Metadata } from './metadata.js';
import type { WeightLoader } from './weights.js';

/** How many rows are summed, and channels that share what a row makes of its weights. */
export interface ConvolutionShape {
  readonly taps: number;
  readonly group: number;
}

/** @throws {PacelineError} `broken-file` for groups that do not divide a row, or more taps than rows. */
export function readConvolution(m: Metadata, embedding: number, rows: number): ConvolutionShape {
  const [taps, group] = [m.count('conv_kernel_size'), m.count('conv_group_size')];
  if (taps > rows) throw m.bad('conv_kernel_size', `is ${taps} for blocks of ${rows}`);
  if (embedding % group !== 0) {
    throw m.bad('conv_group_size', `is ${group}, which does not divide rows of ${embedding}`);
  }
  return { taps, group };
}

export interface BlockConvolution extends ConvolutionShape {
  /** [embedding, taps, 2]. */
  readonly base: Weight;
  /** To [groups, taps, 2]. */
  readonly made: Linear;
}

/** @param name `blk.N.attn` or `blk.N.ffn`. */
export function declareConvolution(
  w: WeightLoader,
  name: string,
  embedding: number,
  { taps, group }: ConvolutionShape,
): BlockConvolution {
  const base = w.vector(`${name}_conv_base`, [embedding, taps, 2]);
  const made = declareLinear(w, `${name}_conv_proj`, embedding, 2 * taps * (embedding / group));
  return { taps, group, base, made };
}

/** A sublayer between its two convolutions; x [embedding, B] is behind the norm. */
export function convolved(
  graph: Graph,
  c: BlockConvolution | undefined,
  x: Tensor,
  sublayer: (x: Tensor) => Tensor,
): Tensor {
  if (c === undefined) return sublayer(x);
  const weights = linear(graph, c.made, x);
  return side(graph, c, 1, weights, sublayer(side(graph, c, 0, weights, x)));
}

/** sum over taps t of (base[t] + made[t]) * the row t before: [embedding, B]. */
function side(graph: Graph, c: BlockConvolution, which: 0 | 1, made: Tensor, x: Tensor): Tensor {
  const [embedding, rows] = x.shape;
  const { taps, group } = c;
  const groups = embedding / group;
  let sum: Tensor | undefined;
  for (let tap = 0; tap < taps; tap++) {
    const moved = tap === 0 ? x : shifted(graph, x, tap);
    const base = c.base.tensor;
    const at = which * base.strides[2] + tap * base.strides[1];
    const fixed = graph.view(base, [embedding], [], at);
    const first = 4 * groups * (which * taps + tap);
    const own = graph.view(made, [1, groups, rows], [4, made.strides[1]], first);
    const grouped = graph.reshape(moved, [group, groups, rows]);
    const flat = graph.reshape(graph.mul(grouped, own), [embedding, rows]);
    const term = graph.add(graph.mul(moved, fixed), flat);
    sum = sum === undefined ? term : graph.add(sum, term);
  }
  return sum ?? x;
}

/** Row r becomes row r - `by`, and the first ones zero. */
function shifted(graph: Graph, x: Tensor, by: number): Tensor {
  const [embedding, rows] = x.shape;
  const name = `${by} rows of ${embedding} zeros`;
  const zeros = graph.shared(name, () =>
    graph.input(name, GgmlType.F32, [embedding, by], new Float32Array(embedding * by)),
  );
  return graph.concat(zeros, graph.rowRange(x, 0, rows - by), 1);
}
