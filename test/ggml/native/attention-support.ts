/** Attention through graphs on a real backend, step by step over caches, and a double reference. */
import { Allocation, type TensorSpec } from '../../../src/ggml/allocation.js';
import type { Backend } from '../../../src/ggml/backend.js';
import { storedPositions, storedRows } from '../../../src/ggml/cache-rows.js';
import type { Graph, RopeOptions } from '../../../src/ggml/graph.js';
import { cachedAttention, rotatedAttention } from '../../../src/ggml/native/attention.js';
import type { Tensor } from '../../../src/ggml/tensor.js';
import { GgmlType } from '../../../src/ggml/types.js';
import { Workspace } from '../../../src/ggml/workspace.js';
import { normals, requireKernels } from './support.js';

export interface AttentionCase {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly type: GgmlType;
  readonly scale: number;
  readonly window?: number;
  readonly softcap?: number;
  readonly causal?: boolean;
  readonly seed: number;
}

/** Positions [from, to) of a sequence. */
export interface Run {
  readonly sequence: number;
  readonly from: number;
  readonly to: number;
}

interface Rows {
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
}

/** Queries, keys and values of every position of a sequence. */
export function rowsOf(shape: AttentionCase, sequence: number, length: number): Rows {
  const { heads, kvHeads, headDim, valueDim, seed } = shape;
  const base = seed * 1000 + sequence * 10;
  return {
    q: normals(length * heads * headDim, base + 1, 2),
    k: normals(length * kvHeads * headDim, base + 2),
    v: normals(length * kvHeads * valueDim, base + 3),
  };
}

/** The tensors of a sequence's cache. */
export function cacheSpecs(shape: AttentionCase, length: number): TensorSpec[] {
  const { kvHeads: heads, headDim, valueDim, type } = shape;
  const stored = storedRows(type, { heads, keys: headDim * heads, values: valueDim * heads });
  return [
    { name: 'k', type, shape: [stored.keys, storedPositions(type, length)] },
    { name: 'v', type, shape: [stored.values, storedPositions(type, length)] },
  ];
}

/**
 * Runs the calls, each a batch of runs of sequences, on one set of caches. Returns, for each
 * sequence, the result rows [valueDim * heads] of all positions; what is computed twice must be
 * the same bytes.
 */
export async function attendInCalls(
  backend: Backend,
  shape: AttentionCase,
  lengths: readonly number[],
  calls: readonly (readonly Run[])[],
): Promise<readonly Float32Array[]> {
  const { heads, kvHeads, headDim, valueDim } = shape;
  const width = heads * valueDim;
  const rows = lengths.map((length, sequence) => rowsOf(shape, sequence, length));
  const results = lengths.map((length) => new Float32Array(length * width));
  const known = lengths.map(() => 0);
  using caches = new Allocation(
    backend,
    lengths.flatMap((length) => cacheSpecs(shape, length)),
  );
  using workspace = new Workspace(backend, { capacity: 64 });
  for (const call of calls) {
    const graph = workspace.begin();
    const part = (name: keyof Rows, size: number) => {
      const pieces = call.map(({ sequence, from, to }) =>
        (rows[sequence] as Rows)[name].subarray(from * size, to * size),
      );
      const all = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
      let at = 0;
      for (const piece of pieces) {
        all.set(piece, at);
        at += piece.length;
      }
      return all;
    };
    const total = call.reduce((sum, { from, to }) => sum + to - from, 0);
    let start = 0;
    const slices = call.map(({ sequence, from, to }) => {
      const [k, v] = caches.tensors.slice(2 * sequence, 2 * sequence + 2);
      if (k === undefined || v === undefined) throw new Error('no such sequence');
      const slice = { k, v, start, count: to - from, past: from };
      start += to - from;
      return slice;
    });
    const result = cachedAttention(
      requireKernels(),
      graph,
      graph.input('q', GgmlType.F32, [headDim, heads, total], part('q', heads * headDim)),
      graph.input('k', GgmlType.F32, [headDim, kvHeads, total], part('k', kvHeads * headDim)),
      graph.input('v', GgmlType.F32, [valueDim, kvHeads, total], part('v', kvHeads * valueDim)),
      slices,
      shape,
    );
    if (result === undefined) throw new Error('the kernels refuse this shape');
    graph.output(result);
    await graph.compute();
    const data = graph.read(result);
    for (const [index, { sequence, from, to }] of call.entries()) {
      const first = (slices[index]?.start ?? 0) * width;
      const piece = data.subarray(first, first + (to - from) * width);
      const target = results[sequence] as Float32Array;
      const again = Math.min(to, known[sequence] ?? 0);
      for (let at = from * width; at < again * width; at++) {
        if (!Object.is(target[at], piece[at - from * width])) {
          throw new Error(`position ${Math.floor(at / width)} changed when computed again`);
        }
      }
      target.set(piece, from * width);
      known[sequence] = Math.max(known[sequence] ?? 0, to);
    }
  }
  return results;
}

/** The last position's row by ggml's flash attention over an F16 cache, as llama.cpp has it. */
export async function attendByGgml(
  backend: Backend,
  shape: AttentionCase,
  length: number,
): Promise<Float32Array> {
  const { heads, kvHeads, headDim, valueDim } = shape;
  const { q, k, v } = rowsOf(shape, 0, length);
  using workspace = new Workspace(backend, { capacity: 64 });
  const graph = workspace.begin();
  const cache = (name: string, size: number, data: Float32Array) => {
    const rows = graph.input(name, GgmlType.F32, [size, kvHeads, length], data);
    return graph.cast(graph.cont(graph.permute(rows, [0, 2, 1, 3])), GgmlType.F16);
  };
  const query = q.subarray(-heads * headDim);
  const result = graph.flashAttention(
    graph.input('q', GgmlType.F32, [headDim, 1, heads], query),
    cache('k', headDim, k),
    cache('v', valueDim, v),
    undefined,
    { scale: shape.scale, softcap: shape.softcap },
  );
  graph.output(result);
  await graph.compute();
  return graph.read(result);
}

/** The same in double precision, for an F32 cache. */
export function reference(shape: AttentionCase, sequence: number, length: number): Float64Array {
  const { heads, kvHeads, headDim, valueDim, scale, window = 0, softcap = 0 } = shape;
  const { q, k, v } = rowsOf(shape, sequence, length);
  const result = new Float64Array(length * heads * valueDim);
  for (let row = 0; row < length; row++) {
    const low = window > 0 ? Math.max(0, row - window + 1) : 0;
    const high = shape.causal === false ? length : row + 1;
    for (let head = 0; head < heads; head++) {
      const kv = Math.floor(head / (heads / kvHeads));
      const scores: number[] = [];
      for (let j = low; j < high; j++) {
        let dot = 0;
        for (let d = 0; d < headDim; d++) {
          dot +=
            (q[(row * heads + head) * headDim + d] ?? 0) *
            (k[(j * kvHeads + kv) * headDim + d] ?? 0);
        }
        dot *= scale;
        scores.push(softcap > 0 ? softcap * Math.tanh(dot / softcap) : dot);
      }
      const top = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - top));
      const sum = weights.reduce((a, b) => a + b, 0);
      for (let d = 0; d < valueDim; d++) {
        let value = 0;
        for (const [at, weight] of weights.entries()) {
          value += weight * (v[((low + at) * kvHeads + kv) * valueDim + d] ?? 0);
        }
        result[(row * heads + head) * valueDim + d] = value / sum;
      }
    }
  }
  return result;
}

/** Attention over one sequence, rotated by our operation, in steps of some sizes: all result rows. */
export async function rotateInSteps(
  backend: Backend,
  shape: AttentionCase,
  rope: RopeOptions,
  normed: boolean,
  length: number,
  sizes: readonly number[],
): Promise<Float32Array> {
  const { heads, valueDim } = shape;
  const rows = rowsOf(shape, 0, length);
  const width = heads * valueDim;
  const results = new Float32Array(length * width);
  using caches = new Allocation(backend, cacheSpecs(shape, length));
  const [k, v] = caches.tensors;
  if (k === undefined || v === undefined) throw new Error('no caches');
  using workspace = new Workspace(backend, { capacity: 64 });
  for (let from = 0, call = 0; from < length; call++) {
    const count = Math.min(length - from, sizes[call % sizes.length] ?? 1);
    const graph = workspace.begin();
    const inputs = rotationInputs(graph, shape, rows, from, count);
    const result = rotatedAttention(
      requireKernels(),
      graph,
      [inputs.q, inputs.k, inputs.v],
      { rope, positions: inputs.positions, norms: normed ? inputs.norms : undefined },
      [{ k, v, start: 0, count, past: from }],
      shape,
    );
    if (result === undefined) throw new Error('the kernels refuse this shape');
    graph.output(result);
    await graph.compute();
    results.set(graph.read(result), from * width);
    from += count;
  }
  return results;
}

/** All rows at once: with our operation, and with ggml's norms and rotation. */
export async function rotateBothWays(
  backend: Backend,
  shape: AttentionCase,
  rope: RopeOptions,
  normed: boolean,
  length: number,
): Promise<readonly [Float32Array, Float32Array]> {
  using caches = new Allocation(backend, cacheSpecs(shape, length));
  const [k, v] = caches.tensors;
  if (k === undefined || v === undefined) throw new Error('no caches');
  using workspace = new Workspace(backend, { capacity: 64 });
  const graph = workspace.begin();
  const inputs = rotationInputs(graph, shape, rowsOf(shape, 0, length), 0, length);
  const turned = (part: Tensor, norm: Tensor) =>
    graph.rope(
      normed ? graph.rmsNorm(part, norm, inputs.norms.epsilon) : part,
      inputs.positions,
      rope,
    );
  const result = cachedAttention(
    requireKernels(),
    graph,
    turned(inputs.q, inputs.norms.q),
    turned(inputs.k, inputs.norms.k),
    inputs.v,
    [{ k, v, start: 0, count: length, past: 0 }],
    shape,
  );
  if (result === undefined) throw new Error('the kernels refuse this shape');
  graph.output(result);
  await graph.compute();
  const theirs = graph.read(result);
  return [await rotateInSteps(backend, shape, rope, normed, length, [length]), theirs];
}

function rotationInputs(
  graph: Graph,
  shape: AttentionCase,
  rows: Rows,
  from: number,
  count: number,
) {
  const { heads, kvHeads, headDim, valueDim } = shape;
  const input = (name: keyof Rows, head: number, all: number) =>
    graph.input(
      name,
      GgmlType.F32,
      [head, all, count],
      rows[name].slice(from * head * all, (from + count) * head * all),
    );
  const weights = (seed: number) =>
    graph.input(`norm ${seed}`, GgmlType.F32, [headDim], normals(headDim, seed));
  return {
    q: input('q', headDim, heads),
    k: input('k', headDim, kvHeads),
    v: input('v', valueDim, kvHeads),
    positions: graph.indices(
      'positions',
      Array.from({ length: count }, (_, i) => from + i),
    ),
    norms: { q: weights(71), k: weights(72), epsilon: 1e-6 },
  };
}
