/**
 * Parts that many architectures are made of: projections with optional bias, the fused or separate
 * query, key and value, gated feed-forward networks and mixtures of experts, and the choice of the
 * rows whose logits are wanted. Shapes are in ggml's order; T is the number of rows of a batch.
 */
import type { Graph } from '../ggml/graph.js';
import { nativeKernels } from '../ggml/native/library.js';
import { nativeNorm } from '../ggml/native/norm.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Activation, Weight } from '../ggml/weight.js';
import type { ForwardBatch, Hyperparameters, KeptRows } from './model.js';
import type { WeightLoader } from './weights.js';

/** x / sqrt(mean(x^2) + epsilon) * weight over the first axis of x [k, ...]. */
export function rmsNorm(graph: Graph, x: Tensor, weight: Weight, epsilon: number): Tensor {
  const { kernels } = nativeKernels();
  const native = kernels && nativeNorm(kernels, graph, x, weight.tensor, epsilon);
  return native ?? graph.rmsNorm(x, weight.tensor, epsilon);
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

function finish(graph: Graph, y: Tensor, scale?: Weight, bias?: Weight): Tensor {
  const scaled = scale === undefined ? y : graph.mul(y, scale.tensor);
  return bias === undefined ? scaled : graph.add(scaled, bias.tensor);
}

/** Query, key and value projections: separate, or fused with rows in the order q, k, v. */
export type Qkv =
  | { readonly fused: Linear }
  | { readonly q: Linear; readonly k: Linear; readonly v: Linear };

export function declareQkv(w: WeightLoader, block: string, h: Hyperparameters, layer: number): Qkv {
  const { queries, keys } = projectionRows(h, layer);
  const inputs = h.embeddingLength;
  if (w.find(`${block}.attn_qkv.weight`) !== undefined) {
    return { fused: declareLinear(w, `${block}.attn_qkv`, inputs, queries + 2 * keys) };
  }
  return {
    q: declareLinear(w, `${block}.attn_q`, inputs, queries),
    k: declareLinear(w, `${block}.attn_k`, inputs, keys),
    v: declareLinear(w, `${block}.attn_v`, inputs, keys),
  };
}

export function declareAttentionOutput(
  w: WeightLoader,
  block: string,
  h: Hyperparameters,
  layer: number,
): Linear {
  return declareLinear(
    w,
    `${block}.attn_output`,
    projectionRows(h, layer).queries,
    h.embeddingLength,
  );
}

function projectionRows(h: Hyperparameters, layer: number) {
  const queries = (h.headCounts[layer] ?? 0) * h.headDim;
  return { queries, keys: (h.kvHeadCounts[layer] ?? 0) * h.headDim };
}

export interface Projected {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

/** x [embedding, T] to q [head * heads, T], k and v [head * kvHeads, T], all contiguous. */
export function project(
  graph: Graph,
  qkv: Qkv,
  x: Tensor,
  h: Hyperparameters,
  layer: number,
): Projected {
  if ('fused' in qkv) {
    const { queries, keys } = projectionRows(h, layer);
    const all = linear(graph, qkv.fused, x);
    const part = (start: number, count: number) =>
      graph.cont(graph.view(all, [count, all.shape[1]], [all.strides[1]], start * 4));
    return { q: part(0, queries), k: part(queries, keys), v: part(queries + keys, keys) };
  }
  const members = [qkv.q, qkv.k, qkv.v];
  const products = graph.linearAll(
    members.map(({ weight }) => weight),
    x,
  );
  const [q, k, v] = members.map(({ scale, bias }, at) =>
    finish(graph, products[at] as Tensor, scale, bias),
  );
  return { q: q as Tensor, k: k as Tensor, v: v as Tensor };
}

/** [head * heads, T] to [head, heads, T]. */
export function splitHeads(graph: Graph, x: Tensor, headDim: number): Tensor {
  return graph.reshape(x, [headDim, x.shape[0] / headDim, x.shape[1]]);
}

/** A gated feed-forward network. */
export interface GatedNetwork {
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;
}

export function declareGated(
  w: WeightLoader,
  block: string,
  embedding: number,
  inner: number,
): GatedNetwork {
  return {
    gate: declareLinear(w, `${block}.ffn_gate`, embedding, inner),
    up: declareLinear(w, `${block}.ffn_up`, embedding, inner),
    down: declareLinear(w, `${block}.ffn_down`, inner, embedding),
  };
}

/** down(activation(gate x) * up x). */
export function gatedNetwork(
  graph: Graph,
  { gate, up, down }: GatedNetwork,
  x: Tensor,
  activation: Activation,
): Tensor {
  const plain = !(gate.bias || gate.scale || up.bias || up.scale);
  const inner = plain
    ? graph.gated(gate.weight, up.weight, x, activation)
    : graph.gate(linear(graph, gate, x), linear(graph, up, x), activation);
  return linear(graph, down, inner);
}

/** A mixture of experts, each a gated network; the router is a plain matrix. */
export interface Mixture {
  readonly router: Weight;
  readonly gate: Weight;
  readonly up: Weight;
  readonly down: Weight;
  readonly used: number;
}

export function declareMixture(
  w: WeightLoader,
  block: string,
  sizes: { embedding: number; inner: number; experts: number; used: number },
): Mixture {
  const { embedding, inner, experts, used } = sizes;
  return {
    router: w.matrix(`${block}.ffn_gate_inp.weight`, [embedding, experts]),
    gate: w.experts(`${block}.ffn_gate_exps.weight`, [embedding, inner, experts]),
    up: w.experts(`${block}.ffn_up_exps.weight`, [embedding, inner, experts]),
    down: w.experts(`${block}.ffn_down_exps.weight`, [inner, embedding, experts]),
    used,
  };
}

/** The smallest sum by which router weights are divided: 2^-14, F16's smallest normal number. */
const leastWeightSum = 6.103515625e-5;

/** Router weights of the chosen experts: softmax over all, then the largest, perhaps normalised. */
export function mixture(
  graph: Graph,
  m: Mixture,
  x: Tensor,
  options: { readonly activation: Activation; readonly normalise: boolean },
): Tensor {
  const [embedding, tokens] = x.shape;
  const experts = m.router.shape[1] as number;
  const probabilities = graph.softmax(graph.linear(m.router, x)); // [experts, T]
  const chosen = graph.topK(probabilities, m.used); // [used, T]
  let weights = graph.getRows(graph.reshape(probabilities, [1, experts, tokens]), chosen);
  if (options.normalise) {
    const flat = graph.reshape(weights, [m.used, tokens]);
    const sum = graph.clamp(graph.sumRows(flat), leastWeightSum, Infinity);
    weights = graph.reshape(graph.div(flat, sum), [1, m.used, tokens]);
  }
  const rows = graph.reshape(x, [embedding, 1, tokens]);
  const inner = graph.gatedExperts(m.gate, m.up, rows, chosen, options.activation);
  return graph.mixedExperts(m.down, inner, chosen, weights);
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
    if (this.batch.taps?.includes(layer)) this.#taps.set(layer, x);
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
