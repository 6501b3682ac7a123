/**
 * Parts that many architectures are made of: projections with optional bias, the fused or separate
 * query, key and value, gated feed-forward networks, and the choice of the rows whose logits are
 * wanted. Mixtures of experts are in `experts.ts`. Shapes are in ggml's order; T is the number of rows of a batch.
 */
import type { Graph } from '../ggml/graph.js';
import { nativeCap, nativeGate } from '../ggml/native/gate.js';
import { kernelsFor, nativeKernels } from '../ggml/native/library.js';
import { nativeNorm } from '../ggml/native/norm.js';
import { clampedGate } from '../ggml/native/streams.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Activation, Weight } from '../ggml/weight.js';
import { requireKernels } from './folded-state.js';
import type { AttentionShape, ForwardBatch, KeptRows } from './model.js';
import type { WeightLoader } from './weights.js';

/** x / sqrt(mean(x^2) + epsilon) * weight over the first axis of x [k, ...]. */
export function rmsNorm(graph: Graph, x: Tensor, weight: Weight, epsilon: number): Tensor {
  const kernels = kernelsFor(weight.tensor);
  const native = kernels && nativeNorm(kernels, graph, x, weight.tensor, epsilon);
  return native ?? graph.rmsNorm(x, weight.tensor, epsilon);
}

/** Weight and bias of a layer norm. */
export interface LayerNorm {
  readonly weight: Weight;
  readonly bias: Weight;
}

/** `name` without `.weight`. */
export function declareLayerNorm(w: WeightLoader, name: string, length: number): LayerNorm {
  return { weight: w.vector(`${name}.weight`, length), bias: w.vector(`${name}.bias`, length) };
}

/** (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias over the first axis of x. */
export function layerNorm(graph: Graph, x: Tensor, norm: LayerNorm, epsilon: number): Tensor {
  return graph.layerNorm(x, norm.weight.tensor, norm.bias.tensor, epsilon);
}

/** A matrix with what may come after it. */
export interface Linear {
  readonly weight: Weight;
  /** One factor for the whole product (files of type NVFP4). */
  readonly scale: Weight | undefined;
  readonly bias: Weight | undefined;
}

/** `name` without `.weight`; bias and scale are taken when the file has them. */
export function declareLinear(
  w: WeightLoader,
  name: string,
  inputs: number,
  outputs: number,
): Linear {
  return {
    weight: w.matrix(`${name}.weight`, [inputs, outputs]),
    scale: w.optionalVector(`${name}.scale`, [1]),
    bias: w.optionalVector(`${name}.bias`, [outputs]),
  };
}

/** x [in, T] to [out, T]. */
export function linear(graph: Graph, { weight, scale, bias }: Linear, x: Tensor): Tensor {
  return finish(graph, graph.linear(weight, x), scale, bias);
}

/** Several of the same x, in one pass where a kernel can. */
export function linears<const M extends readonly Linear[]>(
  graph: Graph,
  members: M,
  x: Tensor,
): { readonly [at in keyof M]: Tensor } {
  const products = graph.linearAll(
    members.map(({ weight }) => weight),
    x,
  );
  const finished = members.map(({ scale, bias }, at) =>
    finish(graph, products[at] as Tensor, scale, bias),
  );
  return finished as { readonly [at in keyof M]: Tensor };
}

function finish(graph: Graph, y: Tensor, scale?: Weight, bias?: Weight): Tensor {
  const scaled = scale === undefined ? y : graph.mul(y, scale.tensor);
  return bias === undefined ? scaled : graph.add(scaled, bias.tensor);
}

/** Query, key and value projections: separate, or fused with rows in the order q, k, v. */
export type Qkv =
  | { readonly fused: Linear }
  | { readonly q: Linear; readonly k: Linear; readonly v: Linear };

/** Projections of a layer's attention over inputs of `embedding` elements. */
export function declareQkv(
  w: WeightLoader,
  block: string,
  embedding: number,
  shape: AttentionShape,
): Qkv {
  const { queries, keys, values } = projectionRows(shape);
  const fused = `${block}.attn_qkv`;
  if (w.find(`${fused}.weight`) !== undefined) {
    // Without what comes after the product, its parts are matrices like others.
    if (w.find(`${fused}.bias`) === undefined && w.find(`${fused}.scale`) === undefined) {
      const part = (which: 'q' | 'k' | 'v') => declareProjection(w, block, which, embedding, shape);
      return { q: part('q'), k: part('k'), v: part('v') };
    }
    return { fused: declareLinear(w, `${block}.attn_qkv`, embedding, queries + keys + values) };
  }
  return {
    q: declareLinear(w, `${block}.attn_q`, embedding, queries),
    k: declareLinear(w, `${block}.attn_k`, embedding, keys),
    v: declareLinear(w, `${block}.attn_v`, embedding, values),
  };
}

/** One of the projections, which a file may also have as rows of one matrix without biases. */
export function declareProjection(
  w: WeightLoader,
  block: string,
  which: 'q' | 'k' | 'v',
  embedding: number,
  shape: AttentionShape,
): Linear {
  const { queries, keys, values } = projectionRows(shape);
  const fused = `${block}.attn_qkv.weight`;
  const [first, rows] = { q: [0, queries], k: [queries, keys], v: [queries + keys, values] }[
    which
  ] as [number, number];
  if (w.find(fused) === undefined) {
    return declareLinear(w, `${block}.attn_${which}`, embedding, rows);
  }
  const part = { first, of: queries + keys + values };
  return { weight: w.matrix(fused, [embedding, rows], part), scale: undefined, bias: undefined };
}

/** The matrix behind the attention: all heads' values to the residual stream. */
export function declareAttentionOutput(
  w: WeightLoader,
  block: string,
  embedding: number,
  { heads, valueLength }: AttentionShape,
): Linear {
  return declareLinear(w, `${block}.attn_output`, heads * valueLength, embedding);
}

function projectionRows({ heads, kvHeads, keyLength, valueLength }: AttentionShape) {
  return { queries: heads * keyLength, keys: kvHeads * keyLength, values: kvHeads * valueLength };
}

export interface Projected {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

/** x [embedding, T] to q [key * heads, T], k [key * kvHeads, T], v [value * kvHeads, T]: contiguous. */
export function project(graph: Graph, qkv: Qkv, x: Tensor, shape: AttentionShape): Projected {
  if ('fused' in qkv) {
    const { queries, keys, values } = projectionRows(shape);
    const all = linear(graph, qkv.fused, x);
    const part = (start: number, count: number) =>
      graph.cont(graph.view(all, [count, all.shape[1]], [all.strides[1]], start * 4));
    return { q: part(0, queries), k: part(queries, keys), v: part(queries + keys, values) };
  }
  const [q, k, v] = linears(graph, [qkv.q, qkv.k, qkv.v], x);
  return { q, k, v };
}

/** RMS norms of q and k that run over all heads at once. */
export interface WideNorms {
  readonly q: Weight;
  readonly k: Weight;
  readonly epsilon: number;
}

/** The same, by heads: q [key, heads, T], k [key, kvHeads, T], v [value, kvHeads, T]. */
export function projectHeads(
  graph: Graph,
  qkv: Qkv,
  x: Tensor,
  shape: AttentionShape,
  norms?: WideNorms,
): Projected {
  const { q, k, v } = project(graph, qkv, x, shape);
  const { keyLength, valueLength } = shape;
  const normed = (part: Tensor, weight: Weight | undefined) =>
    norms && weight ? rmsNorm(graph, part, weight, norms.epsilon) : part;
  return {
    q: splitHeads(graph, normed(q, norms?.q), keyLength),
    k: splitHeads(graph, normed(k, norms?.k), keyLength),
    v: splitHeads(graph, v, valueLength),
  };
}

/** [length * heads, T] to [length, heads, T]. */
export function splitHeads(graph: Graph, x: Tensor, length: number): Tensor {
  return graph.reshape(x, [length, x.shape[0] / length, x.shape[1]]);
}

/** The kernels for what has no weights; with cards ggml's scheduler decides where that is computed. */
function kernelsBetween({ backend }: Graph) {
  return backend.accelerators.length === 0 ? nativeKernels().kernels : undefined;
}

/** c tanh(z / c); z itself when c is 0. */
export function softcap(graph: Graph, z: Tensor, c: number): Tensor {
  if (c === 0) return z;
  const kernels = kernelsBetween(graph);
  const native = kernels && nativeCap(kernels, graph, z, c);
  return native ?? graph.scale(graph.tanh(graph.scale(z, 1 / c)), c);
}

/** silu(min(gate, limit)) * clamp(up, -limit, limit). */
export interface ClampedSilu {
  readonly limit: number;
}

/** activation(gate) * up, of one shape. */
export function gateWith(
  graph: Graph,
  gates: Tensor,
  up: Tensor,
  activation: Activation | ClampedSilu | 'sigmoid',
): Tensor {
  if (typeof activation === 'object') {
    return clampedGate(requireKernels('Clamped gates'), graph, [gates, up], activation.limit);
  }
  const kernels = kernelsBetween(graph);
  const native = kernels && nativeGate(kernels, graph, gates, up, activation);
  if (native !== undefined) return native;
  return activation === 'sigmoid'
    ? graph.mul(up, graph.sigmoid(gates))
    : graph.gate(gates, up, activation);
}

/** A gated feed-forward network. */
export interface GatedNetwork {
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;
}

/** @param suffix of the tensors' names: `_shexp` for the expert that every row goes through. */
export function declareGated(
  w: WeightLoader,
  block: string,
  embedding: number,
  inner: number,
  suffix = '',
): GatedNetwork {
  return {
    gate: declareLinear(w, `${block}.ffn_gate${suffix}`, embedding, inner),
    up: declareLinear(w, `${block}.ffn_up${suffix}`, embedding, inner),
    down: declareLinear(w, `${block}.ffn_down${suffix}`, inner, embedding),
  };
}

/** A gated network whose file has the rows of the gate before those of `ffn_up`, in one matrix. */
export function declareGatedTogether(
  w: WeightLoader,
  block: string,
  embedding: number,
  inner: number,
): GatedNetwork {
  const part = (first: number): Linear => ({
    weight: w.matrix(`${block}.ffn_up.weight`, [embedding, inner], { first, of: 2 * inner }),
    scale: undefined,
    bias: undefined,
  });
  return {
    gate: part(0),
    up: part(inner),
    down: declareLinear(w, `${block}.ffn_down`, inner, embedding),
  };
}

/** down(activation(gate x) * up x). */
export function gatedNetwork(
  graph: Graph,
  { gate, up, down }: GatedNetwork,
  x: Tensor,
  activation: Activation | ClampedSilu,
): Tensor {
  const plain = !(gate.bias || gate.scale || up.bias || up.scale);
  const inner =
    plain && typeof activation === 'string'
      ? graph.gated(gate.weight, up.weight, x, activation)
      : gateWith(graph, linear(graph, gate, x), linear(graph, up, x), activation);
  return linear(graph, down, inner);
}

/**
 * Follows the residual stream through the layers: keeps the taps, and in the last layer drops the
 * rows whose logits nobody wants, which saves most of a prefill's last layer and all of its head.
 */
export class Stream {
  readonly #taps = new Map<number, Tensor>();

  constructor(
    readonly graph: Graph,
    readonly batch: ForwardBatch,
    readonly layerCount: number,
    /** What enters the first layer: [embedding, T]. */
    readonly embeddings: Tensor,
    /** What is tapped of a layer's output; default: all of it. */
    readonly tap: (graph: Graph, x: Tensor) => Tensor = (_, x) => x,
  ) {}

  /** Call it after the attention of each layer, on everything that goes on from there. */
  narrow(layer: number, x: Tensor): Tensor {
    const { outputs } = this.batch;
    if (outputs === undefined || layer !== this.layerCount - 1 || this.#keepsAll) return x;
    return this.graph.getRows(x, this.#kept?.rows ?? outputs);
  }

  /** Call it with the output of each layer. */
  observe(layer: number, x: Tensor): void {
    this.graph.endSection(`layer ${layer}`);
    if (this.batch.taps?.includes(layer)) this.#taps.set(layer, this.tap(this.graph, x));
  }

  /** The rows whose logits are wanted, from the output of the last layer. */
  finish(x: Tensor): Tensor {
    const { outputs } = this.batch;
    if (outputs === undefined) return x;
    if (this.#kept !== undefined) return this.graph.getRows(x, this.#kept.outputs);
    return this.#keepsAll ? this.graph.getRows(x, outputs) : x;
  }

  /** Rows behind the last layer besides the outputs', where not all are wanted. */
  get #kept(): KeptRows | undefined {
    const { hiddenRows } = this.batch;
    return typeof hiddenRows === 'object' && !this.#keepsAll ? hiddenRows : undefined;
  }

  /** Whether somebody reads all rows behind the last layer, so that none may be dropped. */
  get #keepsAll(): boolean {
    const { taps = [], hiddenRows } = this.batch;
    return hiddenRows === 'all' || taps.includes(this.layerCount - 1);
  }

  /** The tapped tensors in the order asked for. */
  get taps(): readonly Tensor[] {
    return (this.batch.taps ?? []).map((layer) => this.#taps.get(layer) as Tensor);
  }
}
