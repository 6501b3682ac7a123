/**
 * Attention over the rows of a window and over rows that stand for several positions each, by our own
 * kernels (see `native/include/paceline_compressed.h`): makes the rows, lets an indexer choose among
 * them, and attends. A row's result is the same bytes however its text was split into passes.
 */

import type { Graph, RopeOptions } from '../graph.js';
import { fail, requireContiguous, requireType } from '../graph-core.js';
import { loggedRows, type RecurrentShape, stateElements } from '../recurrent-shape.js';
import type { Tensor } from '../tensor.js';
import { GgmlType } from '../types.js';
import type { NativeKernels } from './library.js';
import { customWith, nativeOperation, worthSharing } from './operation.js';
import { reserveParameters } from './parameters.js';
import { ropeTable } from './rope-table.js';
import { dataOf, structList } from './struct-list.js';

/** Limits of the kernels. */
export const mostKeyLength = 1024;
const mostRatio = 128;
/** Of an indexer's queries, heads in fours and their elements in sixteens. */
const mostIndexElements = 32768;
export const mostChosenBlocks = 16384;

/** Passes of so few rows share out the scores of each; longer ones the rows. */
const fewRows = 16;

/**
 * Batch rows [start, start + count) of one sequence; row i has the position past + i. Where its memory
 * lies, and `past`, is read again before every computation of the graph.
 */
export interface CompressSlice {
  /** What the next block is being made of; undefined where there are no blocks. */
  readonly frontier:
    | { readonly from: Tensor | undefined; readonly to: Tensor; readonly logged: number }
    | undefined;
  /** [head, positions]: F32, F16 or Q8_0. */
  readonly window: Tensor | undefined;
  /** [width, blocks]. */
  readonly blocks: Tensor | undefined;
  readonly start: number;
  readonly count: number;
  readonly past: number;
}

/** What is done to heads before or behind attention. */
export interface TailRopeOptions {
  readonly rope: RopeOptions;
  readonly positions: Tensor;
  /** RMS norm of each head before it. */
  readonly norm?: { readonly weight?: Tensor | undefined; readonly epsilon: number };
  /** By the angles' negatives. */
  readonly back?: boolean;
}

/** Rotates the last elements of x [head, heads, T], of which pairs are neighbours: the same shape. */
export function tailRope(
  kernels: NativeKernels,
  graph: Graph,
  x: Tensor,
  { rope, positions, norm, back = false }: TailRopeOptions,
): Tensor {
  const name = 'tail_rope';
  requireType(name, x, GgmlType.F32);
  requireContiguous(name, x);
  const [headDim, heads, rows] = x.shape;
  if (rope.dimensions > headDim || positions.elements !== rows) fail(name, 'no fit', x, positions);
  const weight = norm?.weight;
  if (weight && weight.elements !== headDim) fail(name, 'the norm does not fit', x, weight);
  const table = ropeTable(kernels, graph, positions, rope, undefined);
  const options = {
    type: GgmlType.F32,
    shape: [headDim, heads, rows],
    sources: [x, table, ...(weight ? [weight] : [])],
    ...(x.elements < worthSharing ? { tasks: 1 } : {}),
  };
  return customWith(graph, kernels, name, options, (into, out) =>
    into.write({
      ...{ x, x_stride: x.strides[2], head_dim: headDim, heads, rows },
      ...(norm ? { norm: 1, eps: norm.epsilon } : {}),
      ...(weight ? { weight } : {}),
      ...{ table, dims: rope.dimensions, back: back ? 1 : 0, out },
    }),
  );
}

/** Writes x [width, T] into the windows of its slices; the result is a mark of order. */
export function storeWindow(
  kernels: NativeKernels,
  graph: Graph,
  x: Tensor,
  slices: readonly CompressSlice[],
): Tensor {
  const name = 'window_store';
  const width = x.shape[0];
  requireType(name, x, GgmlType.F32);
  requireContiguous(name, x);
  const type = typeOf(name, slices, 'window', width);
  const list = sliceList(kernels, graph, name, slices);
  const options = {
    ...{ type: GgmlType.I32, shape: [1], sources: [x] },
    ...(x.elements < worthSharing ? { tasks: 1 } : {}),
  };
  return customWith(graph, kernels, name, options, (into) =>
    into.write({
      ...{ x, width, type, slices: list, slice_count: slices.length },
      overflow: graph.backend.overflowFlag,
    }),
  );
}

/** One compressor of a layer. */
export interface Compressor {
  /** Positions that a block has. */
  readonly ratio: number;
  /** Whether the block before takes part: channels are twice as many then. */
  readonly overlap: boolean;
  /** F32 [channels, ratio]. */
  readonly ape: Tensor;
  /** F32 [width]. */
  readonly norm: Tensor;
  readonly epsilon: number;
  readonly rope: RopeOptions;
  readonly positions: Tensor;
  /** What all compressors of the layer keep of a position, and where this one's part begins. */
  readonly frontier: RecurrentShape;
  readonly offset: number;
}

/**
 * Makes blocks of kv and gate [channels, T] and writes those that are complete, and what the next ones are made of;
 * the result is a mark of order. `after`: what must have been computed before.
 */
export function compress(
  kernels: NativeKernels,
  graph: Graph,
  [kv, gate]: readonly [Tensor, Tensor],
  slices: readonly CompressSlice[],
  { ratio, overlap, ape, norm, epsilon, rope, positions, frontier, offset }: Compressor,
): Tensor {
  const name = 'compress';
  const width = norm.elements;
  const channels = (overlap ? 2 : 1) * width;
  for (const tensor of [kv, gate, ape, norm]) {
    requireType(name, tensor, GgmlType.F32);
    if (!tensor.rowContiguous) fail(name, 'the rows have gaps', tensor);
  }
  const fits = [kv, gate, ape].every(({ shape }) => shape[0] === channels);
  if (!fits || ape.elements !== channels * ratio || ratio > mostRatio || width > mostKeyLength) {
    fail(name, `blocks of ${ratio} do not fit`, kv, ape, norm);
  }
  if (frontier.tail !== (overlap ? 2 : 1) * ratio - 1 || offset + 2 * channels > frontier.inputs) {
    fail(name, 'the frontier does not fit', kv);
  }
  for (const slice of slices) checkFrontier(name, slice, frontier, kv.shape[1]);
  const type = typeOf(name, slices, 'blocks', width);
  const starts = blockStarts(kernels, graph, positions, ratio);
  const table = ropeTable(kernels, graph, starts, rope, undefined);
  const list = sliceList(kernels, graph, name, slices);
  const options = { type: GgmlType.I32, shape: [1], sources: [kv, gate, ape, norm, table] };
  return customWith(graph, kernels, name, options, (into) =>
    into.write({
      ...{ kv, kv_stride: kv.strides[1], gate, gate_stride: gate.strides[1], ape, norm },
      ...{ eps: epsilon, width, ratio, overlap: overlap ? 1 : 0, table, dims: rope.dimensions },
      ...{ row: frontier.inputs, offset, type, slices: list, slice_count: slices.length },
      overflow: graph.backend.overflowFlag,
    }),
  );
}

/** For each position that of the first of its block, one tensor a graph. */
function blockStarts(kernels: NativeKernels, graph: Graph, positions: Tensor, ratio: number) {
  return graph.shared(`block starts of ${ratio} ${positions.address}`, () => {
    const rows = positions.elements;
    const options = { type: GgmlType.I32, shape: [rows], sources: [positions], tasks: 1 };
    return customWith(graph, kernels, 'block_start', options, (into, out) =>
      into.write({ positions, out, ratio, rows }),
    );
  });
}

export interface IndexOptions {
  readonly ratio: number;
  /** Blocks that are chosen for a row. */
  readonly most: number;
  /** What wrote the keys of this pass. */
  readonly after: Tensor;
}

/**
 * The blocks that an indexer's queries q [head, heads, T], weighed by `weights` [heads, T], find among the
 * slices' blocks: I32 [1 + most, T], their number and then theirs, in order; a number of -1: all.
 */
export function chooseBlocks(
  kernels: NativeKernels,
  graph: Graph,
  [q, weights]: readonly [Tensor, Tensor],
  slices: readonly CompressSlice[],
  { ratio, most, after }: IndexOptions,
): Tensor {
  const name = 'index_choice';
  const [dim, heads, rows] = q.shape;
  for (const tensor of [q, weights]) {
    requireType(name, tensor, GgmlType.F32);
    requireContiguous(name, tensor);
  }
  if (weights.elements !== heads * rows) fail(name, 'the weights do not fit', q, weights);
  if (!indexFits(dim, heads) || most > mostChosenBlocks) fail(name, `${most} blocks`, q);
  const type = typeOf(name, slices, 'blocks', dim);
  const list = sliceList(kernels, graph, name, slices);
  const common = { q, weights, dim, heads, rows, ratio, type, slices: list };
  const scores = reserveParameters(kernels, graph, 'pl_index_scores');
  scores.write({ ...common, slice_count: slices.length });
  const sources = [q, weights, after];
  if (rows <= fewRows) {
    // A graph of few rows is computed again as its texts grow: room for all that they may become.
    const longest = Math.max(1, ...slices.map(({ blocks }) => blocks?.shape[1] ?? 0));
    const found = nativeOperation(kernels, graph, {
      ...{ name: 'index_scores', type: GgmlType.F32, shape: [longest, rows], sources },
      function: kernels.address('pl_op_index_scores'),
      userdata: scores.address,
    });
    scores.write({ most: longest, out: found });
    sources.push(found);
  }
  const options = {
    ...{ type: GgmlType.I32, shape: [1 + most, rows], sources },
    ...(rows === 1 ? { tasks: 1 } : {}),
  };
  return customWith(graph, kernels, name, options, (into, out) =>
    into.write({ scores: scores.address, most, out }),
  );
}

/** Whether the kernels take an indexer's heads. */
export function indexFits(dim: number, heads: number): boolean {
  const elements = Math.ceil(dim / 16) * 16 * Math.ceil(heads / 4) * 4;
  return dim <= mostKeyLength && elements <= mostIndexElements;
}

export interface BlockAttentionOptions {
  readonly scale: number;
  /** A row sees its own position and the `window - 1` before. */
  readonly window: number;
  /** Positions that a block has; 0: there are none. */
  readonly ratio: number;
  /** False: rows also see the later rows of their slice. Default: true. */
  readonly causal?: boolean;
  /** What `chooseBlocks` found; undefined: all that are complete. */
  readonly chosen?: Tensor | undefined;
  /** F32 [heads]. */
  readonly sinks: Tensor;
  /** What wrote the keys of this pass. */
  readonly after: readonly Tensor[];
}

/** Attention of q [head, heads, T] over its slices' windows and blocks, which are keys and values: as q. */
export function blockAttention(
  kernels: NativeKernels,
  graph: Graph,
  q: Tensor,
  slices: readonly CompressSlice[],
  { scale, window, ratio, causal = true, chosen, sinks, after }: BlockAttentionOptions,
): Tensor {
  const name = 'block_attention';
  const [dim, heads, rows] = q.shape;
  for (const tensor of [q, sinks]) {
    requireType(name, tensor, GgmlType.F32);
    requireContiguous(name, tensor);
  }
  if (sinks.elements !== heads || dim > mostKeyLength) fail(name, 'no fit', q, sinks);
  const type = typeOf(name, slices, 'window', dim);
  if (ratio > 0 && typeOf(name, slices, 'blocks', dim) !== type) fail(name, 'types differ', q);
  const list = sliceList(kernels, graph, name, slices);
  const options = {
    ...{ type: GgmlType.F32, shape: [dim, heads, rows] },
    sources: [q, sinks, ...after, ...(chosen ? [chosen] : [])],
  };
  return customWith(graph, kernels, name, options, (into, out) =>
    into.write({
      ...{ q, heads, dim, rows, window, ratio, causal: causal ? 1 : 0, scale, sinks, type },
      ...(chosen ? { chosen, most: chosen.shape[0] - 1 } : {}),
      ...{ slices: list, slice_count: slices.length, abort: graph.backend.abortFlag, out },
    }),
  );
}

/** The type of a part of the slices' memory, after a look at its rows. */
function typeOf(
  operation: string,
  slices: readonly CompressSlice[],
  part: 'window' | 'blocks',
  width: number,
): GgmlType {
  const first = slices[0]?.[part]?.type;
  for (const slice of slices) {
    const tensor = slice[part];
    if (tensor === undefined || first === undefined) fail(operation, `there are no ${part}`);
    requireType(operation, tensor, GgmlType.F32, GgmlType.F16, GgmlType.Q8_0);
    if (tensor.type !== first || tensor.shape[0] !== width || !tensor.contiguous) {
      fail(operation, `the ${part} do not fit`, tensor);
    }
    const end = slice.past + slice.count;
    if (part === 'window' && end > tensor.shape[1]) fail(operation, `${end} positions`, tensor);
  }
  return first as GgmlType;
}

function checkFrontier(
  operation: string,
  { frontier, start, count }: CompressSlice,
  shape: RecurrentShape,
  rows: number,
): void {
  if (frontier === undefined) fail(operation, 'there is no frontier');
  const { from, to, logged } = frontier;
  const elements = stateElements(shape);
  if (to.elements !== elements || (from && from.elements !== elements) || from === to) {
    fail(operation, 'the frontiers do not fit', to);
  }
  if (logged < 0 || logged > loggedRows || start + count > rows) fail(operation, `${logged}`, to);
}

function sliceList(
  kernels: NativeKernels,
  graph: Graph,
  operation: string,
  slices: readonly CompressSlice[],
): number {
  const at = (tensor: Tensor | undefined) => (tensor ? dataOf(graph, operation, tensor) : 0);
  return structList(kernels, graph, {
    name: 'pl_compress_slice',
    items: slices,
    fixed: ({ start, count, window, blocks }) => ({
      ...{ first: start, count },
      ...{ window_stride: window?.strides[1] ?? 0, block_stride: blocks?.strides[1] ?? 0 },
    }),
    bound: ({ frontier, window, blocks, past }) => ({
      ...{ from: at(frontier?.from), to: at(frontier?.to), logged: frontier?.logged ?? 0 },
      ...{ window: at(window), blocks: at(blocks), past },
    }),
  });
}
