/**
 * Attention over the sequences' states: normalises and rotates queries and keys, writes the new keys
 * and values, then lets every row look at what its own sequence has up to its own position, and in
 * encoders beyond.
 * The one place where it is decided which kernel does it.
 */
import { PacelineError } from '../base/errors.js';
import { cacheOverflow, overflowed } from '../ggml/cache-rows.js';
import type { Graph, RopeOptions } from '../ggml/graph.js';
import {
  cachedAttention,
  latentOffset,
  rotatedAttention,
  storedAttention,
} from '../ggml/native/attention.js';
import { kernelsFor, nativeKernels } from '../ggml/native/library.js';
import type { Tensor } from '../ggml/tensor.js';
import { GgmlType } from '../ggml/types.js';
import type { Weight } from '../ggml/weight.js';
import type { ForwardBatch, LayerTensors, SequenceSlice } from './model.js';

/** What is attended: queries, keys and values of the batch's rows in one layer. */
export interface AttendInput {
  readonly batch: ForwardBatch;
  readonly layer: number;
  /** [key, heads, T]. */
  readonly q: Tensor;
  /** [key, kvHeads, T]. */
  readonly k: Tensor;
  /** [value, kvHeads, T]. */
  readonly v: Tensor;
}

export interface AttendOptions {
  /** Factor of the scores, usually 1 / sqrt(head). */
  readonly scale: number;
  /** A row sees its own position and the `window - 1` before; undefined: all. */
  readonly window?: number | undefined;
  /**
   * A row also sees so many rows of its pass that come after it; Infinity: all. Default: none, as it
   * must be where rows are kept for later passes.
   */
  readonly lookahead?: number | undefined;
  /** Scores fall with the distance, by up to `alibi` / 2 to the 8 / heads (arXiv 2108.12409). */
  readonly alibi?: number | undefined;
  /** Scores are squashed to c * tanh(s / c). */
  readonly softcap?: number | undefined;
  /** Position embedding of queries and keys; undefined: none. */
  readonly rope: RopeOptions | undefined;
  /** Divide its frequencies. */
  readonly factors?: Weight | undefined;
  /** RMS norms of each head of queries and keys, before the position embedding. */
  readonly norms?: { readonly q: Weight; readonly k: Weight; readonly epsilon: number } | undefined;
  /** F32 [heads]: a logit for each head that takes part in the softmax and has no value. */
  readonly sinks?: Weight | undefined;
}

/**
 * Attention of one layer: [value * heads, T].
 * @throws {PacelineError} `context-overflow` when the rows do not fit into a sequence's state.
 */
export function attend(graph: Graph, input: AttendInput, options: AttendOptions): Tensor {
  const { batch, layer, q, k, v } = input;
  const slices = slicesOf(batch, layer);
  const kernels = kernelsFor(slices[0]?.k);
  const { rope, norms, lookahead = 0, alibi } = options;
  const factors = options.factors?.tensor;
  const sinks = options.sinks?.tensor;
  if (kernels !== undefined && alibi === undefined) {
    const tensors = norms && { q: norms.q.tensor, k: norms.k.tensor, epsilon: norms.epsilon };
    const rotation = { rope, factors, norms: tensors, positions: batch.positions };
    const sight = { causal: lookahead === 0, ahead: aheadOf(lookahead) };
    const more = { ...options, ...sight, sinks };
    const native = rotatedAttention(kernels, graph, [q, k, v], rotation, slices, more);
    if (native !== undefined) return native;
  }
  requireOwnFormat(slices[0]);
  const turned = (part: Tensor, weight: Weight | undefined) => {
    const norm = norms && weight && { weight, epsilon: norms.epsilon };
    return rotated(graph, batch, part, { norm, ...options });
  };
  const parts = { q: turned(q, norms?.q), k: turned(k, norms?.k) };
  for (const slice of batch.sequences) {
    append(graph, slice, slice.state.layer(layer), parts.k, v);
  }
  const heads = { kvHeads: k.shape[1], valueLength: v.shape[0] };
  return attendByGgml(graph, { batch, layer, q: parts.q, ...heads }, { ...options, sinks });
}

/** Queries grow with their position: by `scale` times ln(1 + whole `length`s before it). */
export interface Temperature {
  readonly scale: number;
  readonly length: number;
}

/** q [key, heads, T] times the factors of its rows, which come from a table: positions may change. */
export function temper(
  graph: Graph,
  batch: ForwardBatch,
  q: Tensor,
  { scale, length }: Temperature,
): Tensor {
  const factors = graph.shared('temperatures', () => {
    const positions = Math.max(...batch.sequences.map(({ state }) => state.capacity));
    const factor = (_: unknown, at: number) => 1 + scale * Math.log(1 + Math.floor(at / length));
    const values = Float32Array.from({ length: positions }, factor);
    const table = graph.input('temperatures', GgmlType.F32, [1, positions], values);
    const rows = graph.getRows(table, batch.positions);
    return graph.reshape(rows, [1, 1, batch.positions.elements]);
  });
  return graph.mul(q, factors);
}

/** Queries over keys and values that another layer stores. */
export interface AttendStoredInput {
  readonly batch: ForwardBatch;
  /** Its state is the other layer's (`LayerState` of kind `shared`). */
  readonly layer: number;
  /** [key, heads, T]. */
  readonly q: Tensor;
  readonly kvHeads: number;
  readonly valueLength: number;
}

export interface AttendStoredOptions extends Omit<AttendOptions, 'norms'> {
  /** RMS norm of each head of queries, before the position embedding. */
  readonly norm?: { readonly weight: Weight; readonly epsilon: number } | undefined;
}

/**
 * Attention of a layer that keeps no rows of its own, over those of another, which has stored this
 * batch's by now: [value * heads, T].
 */
export function attendStored(
  graph: Graph,
  input: AttendStoredInput,
  options: AttendStoredOptions,
): Tensor {
  const { batch, layer, kvHeads, valueLength } = input;
  const slices = slicesOf(batch, layer);
  const q = rotated(graph, batch, input.q, options);
  const kernels = kernelsFor(slices[0]?.k);
  const more = { ...options, sinks: options.sinks?.tensor };
  const values = [valueLength, kvHeads] as const;
  const native = kernels && storedAttention(kernels, graph, q, values, slices, more);
  if (native !== undefined) return native;
  requireOwnFormat(slices[0]);
  return attendByGgml(graph, { ...input, q }, more);
}

/** The kernels count a row itself among those that it sees from its own place on. */
function aheadOf(lookahead: number): number | undefined {
  return Number.isFinite(lookahead) ? lookahead + 1 : undefined;
}

/** What the kernels are told of a layer's rows in each sequence of a batch. */
function slicesOf(batch: ForwardBatch, layer: number) {
  return batch.sequences.map((sequence) => {
    const { state, start, count, past } = sequence;
    if (past + count > state.capacity) throw overflow(past + count, state.capacity);
    return {
      start,
      count,
      // Whoever computes the graph again may have put another sequence here.
      get k() {
        return sequence.state.layer(layer).k;
      },
      get v() {
        return sequence.state.layer(layer).v;
      },
      get past() {
        return sequence.past;
      },
    };
  });
}

/** Heads with their norm and rotation, as operations by themselves. */
function rotated(
  graph: Graph,
  batch: ForwardBatch,
  part: Tensor,
  { norm, rope, factors }: Pick<AttendStoredOptions, 'norm' | 'rope' | 'factors'>,
): Tensor {
  const normed = norm ? graph.rmsNorm(part, norm.weight.tensor, norm.epsilon) : part;
  return rope ? graph.rope(normed, batch.positions, rope, factors?.tensor) : normed;
}

/** Attention with ggml's own operations, on rotated queries, over rows that are stored. */
function attendByGgml(
  graph: Graph,
  input: AttendStoredInput,
  options: Pick<AttendOptions, 'scale' | 'window' | 'softcap' | 'lookahead' | 'alibi'> & {
    readonly sinks?: Tensor | undefined;
  },
): Tensor {
  graph.onlyOnce(); // views and masks are those of this very position
  const { batch, layer, q, kvHeads, valueLength } = input;
  const width = valueLength * q.shape[1];
  let result: Tensor | undefined;
  for (const slice of batch.sequences) {
    const cache = slice.state.layer(layer);
    const mask = maskOf(graph, slice, options);
    const rows = attendSequence(graph, { slice, cache, q, kvHeads, valueLength, mask }, options);
    const flat = graph.reshape(rows, [width, slice.count]);
    result = result === undefined ? flat : graph.concat(result, flat, 1);
  }
  if (result === undefined) throw new PacelineError('graph', 'A batch without sequences');
  return result;
}

/** The error for more tokens than a state has room for. */
export function overflow(needed: number, capacity: number): PacelineError {
  return new PacelineError(
    'context-overflow',
    `${needed} tokens do not fit into a cache of ${capacity}`,
    { hint: 'Use a larger context or a shorter prompt.' },
  );
}

/** ggml has no operations for rows of integers with scales: to it they would be other numbers. */
function requireOwnFormat(cache: LayerTensors | undefined): void {
  if (cache?.k.type !== GgmlType.I16) return;
  throw new PacelineError('platform', 'Attention over an i16 KV cache needs the native kernels', {
    hint: 'Use the f16 KV cache (--kv f16).',
    details: { kernels: nativeKernels().kernels?.path, shape: cache.k.shape },
  });
}

/** Writes the keys and values of a slice behind what the cache has. */
export function append(
  graph: Graph,
  slice: SequenceSlice,
  cache: LayerTensors,
  k: Tensor,
  v: Tensor,
): void {
  const { start, count, past } = slice;
  for (const [source, target] of [
    [k, cache.k],
    [v, cache.v],
  ] as const) {
    if (source === v && cache.v === cache.k) continue; // the end of the keys
    const flat = graph.reshape(source, [source.shape[0] * source.shape[1], source.shape[2]]);
    graph.expand(
      graph.copy(graph.rowRange(flat, start, count), graph.rowRange(target, past, count)),
    );
    // ggml stores what is too large as infinite, which a softmax may hide. From a card the rows would
    // have to be copied in every pass: there, what is infinite is seen when logits are not numbers.
    if (target.type === GgmlType.F32 || target.place !== undefined) continue;
    const [bytes, from] = [count * target.strides[1], past * target.strides[1]];
    graph.afterRun(() => {
      const stored = new Uint8Array(bytes);
      graph.backend.ggml.base.ggml_backend_tensor_get(target.address, stored, from, bytes);
      if (overflowed(target.type, stored)) throw cacheOverflow(target.type);
    });
  }
}

export interface BlockOptions {
  readonly scale: number;
  readonly window?: number | undefined;
  /** Whether a row sees only the rows of the block before it. */
  readonly causal: boolean;
  /** F32 [heads]: a logit for each head that takes part in the softmax and has no value. */
  readonly sinks?: Weight | undefined;
}

/** Queries, keys and values of a block of one sequence. */
export interface BlockInput extends Omit<AttendInput, 'batch'> {
  readonly slice: SequenceSlice;
}

/**
 * Attention of a block of rows that see each other as well as the cache, as block drafters need it,
 * on rotated q and k: [value * heads, T]. Writes k and v behind what the cache has.
 */
export function attendBlock(graph: Graph, input: BlockInput, options: BlockOptions): Tensor {
  const { slice, layer, q, k, v } = input;
  const cache = slice.state.layer(layer);
  const kernels = kernelsFor(cache.k);
  const { start, count, past } = slice;
  const own = { ...options, sinks: options.sinks?.tensor };
  const native =
    kernels && cachedAttention(kernels, graph, q, k, v, [{ ...cache, start, count, past }], own);
  if (native !== undefined) return native;
  requireOwnFormat(cache);
  graph.onlyOnce();
  append(graph, slice, cache, k, v);
  const { window, causal } = options;
  const lookahead = causal ? 0 : Number.POSITIVE_INFINITY;
  const mask = maskOf(graph, slice, { window, lookahead });
  const heads = { kvHeads: k.shape[1], valueLength: v.shape[0] };
  const rows = attendSequence(graph, { slice, cache, q, ...heads, mask }, own);
  return graph.reshape(rows, [v.shape[0] * q.shape[1], count]);
}

/** One sequence's part of a batch. */
interface SequencePart {
  readonly slice: SequenceSlice;
  readonly cache: LayerTensors;
  /** [key, heads, T] of the whole batch. */
  readonly q: Tensor;
  readonly kvHeads: number;
  readonly valueLength: number;
  readonly mask: Tensor | undefined;
}

/** The rows of one slice with ggml's own operations: [value, heads, count]. */
function attendSequence(
  graph: Graph,
  { slice, cache, q, kvHeads, valueLength, mask }: SequencePart,
  options: Pick<AttendOptions, 'scale' | 'softcap' | 'alibi'> & {
    readonly sinks?: Tensor | undefined;
  },
): Tensor {
  const { start, count, past } = slice;
  const [keyLength, heads] = q.shape;
  const seen = past + count;
  const shape = [keyLength, heads, count];
  const query = graph.view(q, shape, [q.strides[1], q.strides[2]], start * q.strides[2]);
  const heading = (tensor: Tensor) => {
    const rows = graph.rowRange(tensor, 0, seen);
    const stride = tensor.strides[1] / kvHeads;
    const length = tensor.shape[0] / kvHeads;
    return graph.view(rows, [length, seen, kvHeads], [tensor.strides[1], stride]);
  };
  // With values in F16, ggml sums them up in F16, and by another method from 64 rows on. In F32 its
  // sums are exact to F32, and a row's result does not depend on the rows beside it.
  const { k: keys, v } = cache;
  const offset = v === keys ? latentOffset(keys, valueLength) : 0;
  const values = graph.view(v, [valueLength * kvHeads, seen], [v.strides[1]], offset);
  const sum = v.place === undefined && v.type === GgmlType.F16;
  const exact = sum ? graph.cast(values, GgmlType.F32) : values;
  return graph.flashAttention(
    graph.permute(query, [0, 2, 1, 3]), // [key, count, heads]
    heading(keys), // [key, seen, kvHeads]
    heading(exact), // [value, seen, kvHeads]
    mask,
    options,
  );
}

const minusInfinity = 0xfc00; // as F16

/** [past + count, count] F16: what is added to the scores of a slice's rows. One a graph. */
function maskOf(
  graph: Graph,
  { count, past }: SequenceSlice,
  options: Pick<AttendOptions, 'window' | 'lookahead' | 'alibi'>,
): Tensor | undefined {
  const { window = Number.POSITIVE_INFINITY, lookahead = 0, alibi } = options;
  const seen = past + count;
  const seesAll = seen <= window && (count === 1 || lookahead >= count - 1);
  if (seesAll && alibi === undefined) return undefined;
  const name = `mask ${count} ${past} ${window} ${lookahead} ${alibi !== undefined}`;
  const sight = { window, lookahead, distances: alibi !== undefined };
  return graph.shared(name, () => makeMask(graph, name, count, past, sight));
}

interface Sight {
  readonly window: number;
  readonly lookahead: number;
  /** Minus the distance in place of 0 where a row may look. */
  readonly distances: boolean;
}

function makeMask(graph: Graph, name: string, count: number, past: number, sight: Sight): Tensor {
  const { window, lookahead, distances } = sight;
  const seen = past + count;
  const shape = [seen, count];
  const data = distances
    ? new Float32Array(seen * count).fill(Number.NEGATIVE_INFINITY)
    : new Uint16Array(seen * count).fill(minusInfinity);
  for (let row = 0; row < count; row++) {
    const own = past + row;
    const end = Math.min(seen, own + lookahead + 1);
    for (let at = Math.max(0, own - window + 1); at < end; at++) {
      data[row * seen + at] = distances ? -Math.abs(own - at) : 0;
    }
  }
  if (data instanceof Uint16Array) return graph.input(name, GgmlType.F16, shape, data);
  return graph.cast(graph.input(name, GgmlType.F32, shape, data), GgmlType.F16);
}
