/**
 * Attention over KV caches by our own kernels: stores the new keys and values, then lets every row
 * look at what its own sequence has. A row's result is the same bytes whatever other rows and
 * sequences are computed with it, and by how many threads (see `native/include/paceline_attention.h`).
 */
import koffi from 'koffi';
import { PacelineError } from '../../base/errors.js';
import type { Backend } from '../backend.js';
import type { Graph } from '../graph.js';
import { fail, requireType } from '../graph-core.js';
import type { Tensor } from '../tensor.js';
import { GgmlType } from '../types.js';
import type { NativeKernels } from './library.js';
import { nativeOperation } from './operation.js';
import { type Parameters, reserveParameters } from './parameters.js';

/** Batch rows [start, start + count) of one sequence; row i has the position past + i. */
export interface CacheSlice {
  /** [head * kvHeads, capacity], F16, F32 or Q8_0. */
  readonly k: Tensor;
  /** [valueHead * kvHeads, capacity]. */
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
  /** F32 [heads]: a logit for each head that takes part in the softmax and has no value. */
  readonly sinks?: Tensor;
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
  const [headDim, heads, rows] = q.shape;
  const [valueDim, kvHeads] = v.shape;
  checkShapes(q, k, v, slices);
  const [first] = slices;
  if (first === undefined || rows === 0) return undefined;
  const attention = reserveParameters(kernels, graph, 'pl_attention');
  const query = q.strides[0] === 4 ? q : graph.cont(q);
  const shape = {
    heads,
    kv_heads: kvHeads,
    head_dim: headDim,
    v_dim: valueDim,
    k_type: first.k.type,
    v_type: first.v.type,
  };
  attention.write(shape);
  const positions = Math.max(...slices.map(({ past, count }) => past + count));
  const scratch = scratchFor(kernels, graph, attention, rows, positions);
  if (scratch === undefined) return undefined;

  const list = sliceList(kernels, graph, slices);
  const stored = store(kernels, graph, k, v, first, list, slices.length);
  const { scale, softcap = 0, window = 0, causal = true, sinks } = options;
  const result = nativeOperation(kernels, graph, {
    name: 'attention',
    type: GgmlType.F32,
    shape: [valueDim * heads, rows],
    sources: [query, stored, ...(sinks === undefined ? [] : [sinks])],
    function: kernels.address('pl_op_attention'),
    userdata: attention.address,
  });
  attention.write({
    q: query,
    q_stride: query.strides[2],
    q_head_stride: query.strides[1],
    out: result,
    out_stride: valueDim * heads * 4,
    slices: list,
    slice_count: slices.length,
    scale,
    softcap,
    window,
    causal: causal ? 1 : 0,
    ...(sinks === undefined ? {} : { sinks }),
    scratch: scratch.address,
    scratch_bytes: scratch.bytes,
  });
  return result;
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
  for (const { k: keys, v: values, start, count, past } of slices) {
    if (keys.type !== slices[0]?.k.type || values.type !== slices[0]?.v.type) {
      fail('attention', 'the caches are of different types', keys, values);
    }
    if (
      keys.shape[0] !== k.shape[0] * k.shape[1] ||
      values.shape[0] !== v.shape[0] * v.shape[1] ||
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
  { k: keys, v: values }: CacheSlice,
  slices: number,
  count: number,
): Tensor {
  const rows = [k, v].map((tensor) =>
    tensor.strides[0] === 4 && tensor.strides[1] === tensor.shape[0] * 4
      ? tensor
      : graph.cont(tensor),
  );
  const [kRows = k, vRows = v] = rows;
  const parameters = reserveParameters(kernels, graph, 'pl_cache_store');
  const result = nativeOperation(kernels, graph, {
    name: 'cache_store',
    type: GgmlType.I32,
    shape: [1],
    sources: [kRows, vRows],
    function: kernels.address('pl_op_cache_store'),
    userdata: parameters.address,
    // A few rows are copied faster than a second thread is woken.
    ...(k.shape[2] <= 4 ? { tasks: 1 } : {}),
  });
  parameters.write({
    k: kRows,
    k_row_stride: kRows.strides[2],
    k_width: k.shape[0] * k.shape[1],
    k_type: keys.type,
    v: vRows,
    v_row_stride: vRows.strides[2],
    v_width: v.shape[0] * v.shape[1],
    v_type: values.type,
    slices,
    slice_count: count,
  });
  return result;
}

/** Memory for the lists of slices of one graph. */
class SliceMemory {
  #view = new BigInt64Array(0);
  #address = 0;
  #used = 0;

  constructor(readonly graph: Graph) {}

  /** Room for some 8-byte slots. */
  take(slots: number): { readonly view: BigInt64Array; readonly address: number } {
    if (this.#used + slots > this.#view.length) {
      this.#view = this.graph.keep(new BigInt64Array(Math.max(4096, slots)));
      this.#address = Number(koffi.address(this.#view.buffer));
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += slots;
    return {
      view: this.#view.subarray(start, start + slots),
      address: this.#address + start * 8,
    };
  }
}

const sliceMemories = new WeakMap<Graph, SliceMemory>();

/** Writes an array of `pl_cache_slice`; caches have their memory already. Returns its address. */
function sliceList(kernels: NativeKernels, graph: Graph, slices: readonly CacheSlice[]): number {
  let memory = sliceMemories.get(graph);
  if (memory === undefined) {
    memory = new SliceMemory(graph);
    sliceMemories.set(graph, memory);
  }
  const { size, fields } = kernels.struct('pl_cache_slice');
  const slots = size / 8;
  const { view, address } = memory.take(slots * slices.length);
  const data = (tensor: Tensor) => {
    const found = graph.backend.ggml.base.ggml_get_data(tensor.address);
    if (found === 0) fail('attention', 'the cache has no memory', tensor);
    return found;
  };
  for (const [index, { k, v, start, count, past }] of slices.entries()) {
    const values = {
      k: data(k),
      v: data(v),
      k_stride: k.strides[1],
      v_stride: v.strides[1],
      first: start,
      count,
      past,
    };
    for (const [name, value] of Object.entries(values)) {
      const offset = fields.get(name)?.offset;
      if (offset === undefined) {
        throw new PacelineError('platform', `The kernels' pl_cache_slice has no ${name}`);
      }
      view[index * slots + offset / 8] = BigInt(value);
    }
  }
  return address;
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
    ...([attention.address, rows, positions, backend.threads] as const),
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

const kept = new WeakMap<Graph, ArrayBuffer>();

function keepOnce(graph: Graph, buffer: ArrayBuffer): void {
  if (kept.get(graph) === buffer) return;
  kept.set(graph, buffer);
  graph.keep(buffer);
}
