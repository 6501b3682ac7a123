/**
 * Attention over KV caches by our own kernels: stores the new keys and values, then lets every row
 * look at what its own sequence has. A row's result is the same bytes whatever other rows and
 * sequences are computed with it, and by how many threads (see `native/include/paceline_attention.h`).
 */
import koffi from 'koffi';
import type { Backend } from '../backend.js';
import { storedPositions, storedRows } from '../cache-rows.js';
import type { Graph, RopeOptions } from '../graph.js';
import { fail, requireType } from '../graph-core.js';
import type { Tensor } from '../tensor.js';
import { GgmlType, rowBytes } from '../types.js';
import type { NativeKernels } from './library.js';
import { nativeOperation } from './operation.js';
import { type Parameters, reserveParameters } from './parameters.js';
import { ropeTable } from './rope-table.js';
import { dataOf, structList } from './struct-list.js';

/**
 * Batch rows [start, start + count) of one sequence; row i has the position past + i. Which sequence
 * it is, `k`, `v` and `past`, is read again before every computation of the graph.
 */
export interface CacheSlice {
  /**
   * [head * kvHeads, capacity], F16, F32 or Q8_0; I16 with room for scales, and in whole blocks
   * (`storedRows`, `storedPositions`).
   */
  readonly k: Tensor;
  /** [valueHead * kvHeads, capacity]; `k` itself where values are the end of its only head. */
  readonly v: Tensor;
  readonly start: number;
  readonly count: number;
  readonly past: number;
}

export interface CachedAttentionOptions {
  /** Factor of the scores. */
  readonly scale: number;
  /** A row sees its own position and the `window - 1` before; undefined: all. */
  readonly window?: number | undefined;
  /** Scores become c * tanh(s / c). */
  readonly softcap?: number | undefined;
  /** False: rows also see the later rows of their own slice. Default: true. */
  readonly causal?: boolean;
  /** Of these, the `ahead - 1` that come next; undefined: all. */
  readonly ahead?: number | undefined;
  /** F32 [heads]: a logit for each head that takes part in the softmax and has no value. */
  readonly sinks?: Tensor | undefined;
}

/**
 * q [head, heads, T], k [head, kvHeads, T] and v [valueHead, kvHeads, T] to [valueHead * heads, T].
 * Writes k and v to the slices' caches on the way.
 * @returns undefined when the kernels don't have these types or shapes.
 * @throws {PacelineError} `graph` when tensors do not fit each other.
 */
export function cachedAttention(
  kernels: NativeKernels,
  graph: Graph,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  slices: readonly CacheSlice[],
  options: CachedAttentionOptions,
): Tensor | undefined {
  checkShapes(q, k, v, slices);
  const plan = planAttention(kernels, graph, q, v.shape, slices);
  if (plan === undefined) return undefined;
  const stored = store(kernels, graph, k, v, plan, slices);
  return attendCached(plan, q.strides[0] === 4 ? q : graph.cont(q), [stored], options);
}

/**
 * The same over keys and values that another operation of this graph has stored, those of the
 * slices' own rows included: q [head, heads, T] with heads of values `[valueHead, kvHeads]`.
 */
export function storedAttention(
  kernels: NativeKernels,
  graph: Graph,
  q: Tensor,
  values: readonly [valueHead: number, kvHeads: number],
  slices: readonly CacheSlice[],
  options: CachedAttentionOptions,
): Tensor | undefined {
  const plan = planAttention(kernels, graph, q, values, slices);
  return plan && attendCached(plan, evenHeads(graph, q), [], options);
}

/** What is done to queries and keys before the attention. */
export interface Rotation {
  /** RMS norm of each head, with weights [head]. */
  readonly norms?: { readonly q: Tensor; readonly k: Tensor; readonly epsilon: number } | undefined;
  /** Undefined: no rotation. */
  readonly rope?: RopeOptions | undefined;
  /** F32 [dimensions / 2]: divide the frequencies. */
  readonly factors?: Tensor | undefined;
  /** I32 [T]. */
  readonly positions: Tensor;
}

/**
 * The same for queries and keys that are still to be normalised and rotated, which is done by the
 * operation that stores them.
 */
export function rotatedAttention(
  kernels: NativeKernels,
  graph: Graph,
  [q, k, v]: readonly [Tensor, Tensor, Tensor],
  rotation: Rotation,
  slices: readonly CacheSlice[],
  options: CachedAttentionOptions,
): Tensor | undefined {
  checkShapes(q, k, v, slices);
  const headDim = q.shape[0];
  const { norms, rope, factors, positions } = rotation;
  if (slices[0]?.k.type === GgmlType.Q8_0 && headDim % 32 !== 0) return undefined;
  if (norms && (norms.q.type !== GgmlType.F32 || norms.k.type !== GgmlType.F32)) return undefined;
  if ((rope?.dimensions ?? 0) > headDim || headDim > 4096) return undefined;
  const plan = planAttention(kernels, graph, q, v.shape, slices);
  if (plan === undefined) return undefined;
  const [queries, keys, values] = [q, k, v].map((tensor) => evenHeads(graph, tensor)) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const table = rope && ropeTable(kernels, graph, positions, rope, factors);
  const parameters = reserveParameters(kernels, graph, 'pl_rotate_store');
  const rotated = nativeOperation(kernels, graph, {
    name: 'rotate_store',
    type: GgmlType.F32,
    shape: q.shape,
    sources: [
      ...[queries, keys, values],
      ...(table ? [table] : []),
      ...(norms ? [norms.q, norms.k] : []),
    ],
    function: kernels.address('pl_op_rotate_store'),
    userdata: parameters.address,
    ...few(q),
  });
  parameters.write({
    q: queries,
    q_stride: queries.strides[2],
    q_out: rotated,
    k: keys,
    k_row_stride: keys.strides[2],
    v: values,
    v_row_stride: values.strides[2],
    v_width: v.shape[0] * v.shape[1],
    heads: q.shape[1],
    kv_heads: k.shape[1],
    head_dim: headDim,
    ...(norms ? { q_norm: norms.q, k_norm: norms.k, eps: norms.epsilon } : {}),
    ...(table ? { table, dims: rope.dimensions, halves: rope.pairs === 'halves' ? 1 : 0 } : {}),
    k_type: plan.keyType,
    v_type: plan.valueType,
    slices: plan.list,
    slice_count: slices.length,
    overflow: graph.backend.overflowFlag,
  });
  return attendCached(plan, rotated, [], options);
}

interface AttentionPlan {
  readonly kernels: NativeKernels;
  readonly graph: Graph;
  readonly parameters: Parameters;
  readonly scratch: Scratch;
  /** Address of the slices. */
  readonly list: number;
  readonly slices: number;
  /** [valueHead * heads, T]. */
  readonly shape: readonly [number, number];
  readonly keyType: GgmlType;
  readonly valueType: GgmlType;
}

/** Graphs of more rows are not made for being repeated. */
const mostRepeated = 64;

/** Reserves what the attention needs; undefined when the kernels can't do it. */
function planAttention(
  kernels: NativeKernels,
  graph: Graph,
  q: Tensor,
  [valueDim, kvHeads]: readonly [number, number, ...number[]],
  slices: readonly CacheSlice[],
): AttentionPlan | undefined {
  const [headDim, heads, rows] = q.shape;
  const [first] = slices;
  if (first === undefined || rows === 0) return undefined;
  const parameters = reserveParameters(kernels, graph, 'pl_attention');
  const [keyType, valueType] = [first.k.type, first.v.type];
  const heading = { heads, kv_heads: kvHeads, head_dim: headDim, v_dim: valueDim };
  parameters.write({ ...heading, k_type: keyType, v_type: valueType });
  // A graph of few rows is computed again as its sequences grow: room for all that they may become.
  const positions = Math.max(
    ...slices.map(({ k, past, count }) => (rows <= mostRepeated ? k.shape[1] : past + count)),
  );
  const scratch = scratchFor(kernels, graph, parameters, rows, positions);
  if (scratch === undefined) return undefined;
  const list = sliceList(kernels, graph, slices, valueDim);
  const shape = [valueDim * heads, rows] as const;
  return {
    kernels,
    graph,
    parameters,
    scratch,
    list,
    slices: slices.length,
    shape,
    keyType,
    valueType,
  };
}

/** The attention of q [head, heads, T]; `after`: what has to be computed before it. */
function attendCached(
  plan: AttentionPlan,
  q: Tensor,
  after: readonly Tensor[],
  options: CachedAttentionOptions,
): Tensor {
  const { kernels, graph, parameters, shape } = plan;
  const { scale, softcap = 0, window = 0, causal = true, ahead = 0, sinks } = options;
  const result = nativeOperation(kernels, graph, {
    name: 'attention',
    type: GgmlType.F32,
    shape,
    sources: [q, ...after, ...(sinks === undefined ? [] : [sinks])],
    function: kernels.address('pl_op_attention'),
    userdata: parameters.address,
  });
  parameters.write({
    q,
    q_stride: q.strides[2],
    q_head_stride: q.strides[1],
    out: result,
    out_stride: shape[0] * 4,
    slices: plan.list,
    slice_count: plan.slices,
    scale,
    softcap,
    window,
    causal: causal ? 1 : 0,
    ahead,
    ...(sinks === undefined ? {} : { sinks }),
    scratch: plan.scratch.address,
    scratch_bytes: plan.scratch.bytes,
    abort: graph.backend.abortFlag,
  });
  return result;
}

/** Heads of a row without gaps, copied if need be. */
function evenHeads(graph: Graph, x: Tensor): Tensor {
  return x.strides[0] === 4 && x.strides[1] === x.shape[0] * 4 ? x : graph.cont(x);
}

/** A few rows are handled faster than a second thread is woken. */
function few(x: Tensor): { readonly tasks?: number } {
  return x.shape[2] <= 4 ? { tasks: 1 } : {};
}

function checkShapes(q: Tensor, k: Tensor, v: Tensor, slices: readonly CacheSlice[]): void {
  for (const tensor of [q, k, v]) {
    requireType('attention', tensor, GgmlType.F32);
    if (tensor.shape[2] !== q.shape[2] || tensor.shape[3] !== 1) {
      fail('attention', 'the rows differ', q, k, v);
    }
  }
  if (k.shape[0] !== q.shape[0] || v.shape[1] !== k.shape[1] || q.shape[1] % k.shape[1] !== 0) {
    fail('attention', 'the heads do not fit', q, k, v);
  }
  const heads = k.shape[1];
  const rows = { heads, keys: k.shape[0] * heads, values: v.shape[0] * heads };
  for (const { k: keys, v: values, start, count, past } of slices) {
    if (keys.type !== slices[0]?.k.type || values.type !== slices[0]?.v.type) {
      fail('attention', 'the caches are of different types', keys, values);
    }
    if ((keys.type === GgmlType.I16) !== (values.type === GgmlType.I16)) {
      fail('attention', 'scales of integer values lie behind integer keys', keys, values);
    }
    const stored = storedRows(keys.type, rows);
    const latent = values === keys && heads === 1 && v.shape[0] <= k.shape[0];
    if (
      keys.shape[0] !== stored.keys ||
      values.shape[0] !== (latent ? stored.keys : stored.values) ||
      keys.shape[1] !== storedPositions(keys.type, keys.shape[1]) ||
      values.shape[1] !== storedPositions(values.type, values.shape[1]) ||
      !keys.contiguousFrom(1) ||
      !values.contiguousFrom(1)
    ) {
      fail('attention', 'the cache rows do not fit', keys, values);
    }
    if (start < 0 || count < 0 || start + count > q.shape[2]) {
      fail('attention', `rows ${start} to ${start + count} are not in the batch`, q);
    }
    if (past < 0 || past + count > Math.min(keys.shape[1], values.shape[1])) {
      fail('attention', `${past + count} positions do not fit`, keys, values);
    }
  }
}

/** The operation that writes k and v into the caches; its result is only a mark of order. */
function store(
  kernels: NativeKernels,
  graph: Graph,
  k: Tensor,
  v: Tensor,
  plan: AttentionPlan,
  slices: readonly CacheSlice[],
): Tensor {
  const [keys, values] = [evenHeads(graph, k), evenHeads(graph, v)];
  const parameters = reserveParameters(kernels, graph, 'pl_cache_store');
  const result = nativeOperation(kernels, graph, {
    name: 'cache_store',
    type: GgmlType.I32,
    shape: [1],
    sources: [keys, values],
    function: kernels.address('pl_op_cache_store'),
    userdata: parameters.address,
    ...few(k),
  });
  parameters.write({
    k: keys,
    k_row_stride: keys.strides[2],
    k_width: k.shape[0] * k.shape[1],
    k_type: plan.keyType,
    v: values,
    v_row_stride: values.strides[2],
    v_width: v.shape[0] * v.shape[1],
    v_type: plan.valueType,
    slices: plan.list,
    slice_count: slices.length,
    kv_heads: k.shape[1],
    overflow: graph.backend.overflowFlag,
  });
  return result;
}

/**
 * An array of `pl_cache_slice`, bound before every run to where the slices then are; caches have their
 * memory already. Returns its address.
 */
function sliceList(
  kernels: NativeKernels,
  graph: Graph,
  slices: readonly CacheSlice[],
  valueDim: number,
): number {
  return structList(kernels, graph, {
    name: 'pl_cache_slice',
    items: slices,
    fixed: ({ k, v, start, count }) => ({
      k_stride: k.strides[1],
      v_stride: v.strides[1],
      first: start,
      count,
    }),
    bound: ({ k, v, past }) => ({
      k: dataOf(graph, 'attention', k),
      v: dataOf(graph, 'attention', v) + (v === k ? latentOffset(k, valueDim) : 0),
      past,
    }),
  });
}

/** Where values begin in a row of keys that ends with them, in bytes. */
export function latentOffset(keys: Tensor, valueDim: number): number {
  return rowBytes(keys.type, keys.shape[0] - valueDim);
}

interface Scratch {
  readonly buffer: ArrayBuffer;
  /** 64-byte aligned. */
  readonly address: number;
  readonly bytes: number;
}

/** One a backend: its graphs run one after the other. A graph that uses it keeps it alive. */
const scratches = new WeakMap<Backend, Scratch>();

function scratchFor(
  kernels: NativeKernels,
  graph: Graph,
  attention: Parameters,
  rows: number,
  positions: number,
): Scratch | undefined {
  const { backend } = graph;
  const needed = kernels.functions.pl_attention_scratch(
    attention.address,
    rows,
    positions,
    backend.threads,
  );
  if (needed < 0) return undefined;
  let scratch = scratches.get(backend);
  if (scratch === undefined || scratch.bytes < needed) {
    // A power of two, since the context grows a little with every step.
    const bytes = 2 ** Math.ceil(Math.log2(needed));
    const buffer = new ArrayBuffer(bytes + 64);
    const start = Number(koffi.address(buffer));
    scratch = { buffer, address: Math.ceil(start / 64) * 64, bytes };
    scratches.set(backend, scratch);
  }
  keepOnce(graph, scratch.buffer);
  return scratch;
}

function keepOnce(graph: Graph, buffer: ArrayBuffer): void {
  graph.shared(buffer, () => buffer);
}
