/**
 * Gemma 4: Gemma 3's norms around attention and network, GeGLU, and layers with a sliding window
 * between those that see everything, which have heads of another size, rotate only a part of them
 * (`rope_freqs`) and may take the raw keys for values. Values are normalised, scores are not scaled.
 *
 * E2B and E4B: every layer gets a small embedding of its own of each token, and the last layers read
 * the keys and values of an earlier one. 26B-A4B: experts beside the network, with norms of their own.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend, attendStored } from './attention.js';
import { type Decoder, decoder, keptRows } from './decoder.js';
import * as experts from './experts.js';
import * as layers from './layers.js';
import { type ExpertCounts, type Metadata, readExperts } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope } from './rope.js';
import type { WeightLoader } from './weights.js';

export interface Gemma4 extends Hyperparameters {
  /** Of the layers that see everything, and of those with a window. */
  readonly rope: Rope;
  readonly windowRope: Rope;
  /** How far back each layer sees; undefined: everything. */
  readonly windows: readonly (number | undefined)[];
  /** For each layer the one whose keys and values it reads; undefined: it has its own. */
  readonly lenders: readonly (number | undefined)[];
  readonly inner: readonly number[];
  readonly experts: readonly ExpertCounts[];
  /** Width of each expert. */
  readonly expertInner: readonly number[];
  /** Width of the embedding that a layer gets of each token; 0: there is none. */
  readonly perLayerLength: number;
  readonly logitSoftcap: number;
}

function hyperparameters(m: Metadata, common: Hyperparameters): Gemma4 {
  const { layerCount } = common;
  const attention = readAttention(m, common);
  const experts = readExperts(m, layerCount, 0);
  return {
    ...attention,
    lenders: readLenders(m, attention.windows),
    inner: m.countPerLayer('feed_forward_length', layerCount),
    experts,
    expertInner: experts.some((layer) => layer.experts > 0)
      ? m.countPerLayer('expert_feed_forward_length', layerCount)
      : [],
    perLayerLength: m.count('embedding_length_per_layer_input', undefined, 0),
    logitSoftcap: m.notNegative('final_logit_softcapping', 30),
  };
}

/** Both kinds of layers: their heads, how far back they see, how they rotate. */
function readAttention(m: Metadata, common: Hyperparameters) {
  const { layerCount } = common;
  const window = m.count('attention.sliding_window');
  const slides = m.flagPerLayer('attention.sliding_window_pattern', layerCount);
  if (slides === undefined) throw m.bad('attention.sliding_window_pattern', 'is not a list');
  const windowHeads = {
    keyLength: m.count('attention.key_length_swa'),
    valueLength: m.count('attention.value_length_swa'),
  };
  const [full] = common.attention as readonly [AttentionShape];
  for (const { keyLength, valueLength } of [full, windowHeads]) {
    if (keyLength === valueLength) continue;
    throw m.bad('attention.value_length', `is ${valueLength} beside keys of ${keyLength}`);
  }
  const rope = readRope(m, common, 'halves', { keyLength: full.keyLength });
  const windowDimensions = m.count('rope.dimension_count_swa', rope.dimensions);
  if (windowDimensions > windowHeads.keyLength || windowDimensions % 2 !== 0) {
    throw m.bad('rope.dimension_count_swa', `is ${windowDimensions}`);
  }
  return {
    ...common,
    attention: common.attention.map((s, layer) => (slides[layer] ? { ...s, ...windowHeads } : s)),
    rope,
    windowRope: {
      ...rope,
      base: m.positive('rope.freq_base_swa', 10000),
      dimensions: windowDimensions,
      scale: 1,
    },
    windows: slides.map((slide) => (slide ? window : undefined)),
  };
}

/** The last two layers with rows of their own, one of each kind, lend them to all that follow. */
function readLenders(m: Metadata, windows: Gemma4['windows']): Gemma4['lenders'] {
  const key = 'attention.shared_kv_layers';
  const shared = m.count(key, 0, 0);
  const own = windows.length - shared;
  if (shared > 0 && (own < 2 || !windows[own - 2] || windows[own - 1])) {
    throw m.bad(key, `is ${shared}, but the layers before have not one of each kind to share`);
  }
  return windows.map((window, layer) => (layer < own ? undefined : own - (window ? 2 : 1)));
}

/** What makes a token's own embedding for a layer, and what the layer does with it. */
interface PerLayer {
  /** Of the whole model: [length * layers, vocabulary], [embedding, length * layers], [length]. */
  readonly table: Weight;
  readonly project: Weight;
  readonly projectNorm: Weight;
  readonly gate: layers.Linear;
  readonly output: layers.Linear;
  readonly norm: Weight;
}

/** Experts beside the network, the norms around both, and what the router's input is scaled by. */
interface Beside {
  readonly mixture: experts.Mixture;
  readonly routerScale: Weight;
  readonly afterNetworkNorm: Weight;
  readonly expertsNorm: Weight;
  readonly afterExpertsNorm: Weight;
}

interface Block {
  readonly attentionNorm: Weight;
  readonly q: layers.Linear;
  readonly qNorm: Weight;
  /** Undefined where another layer's rows are read. */
  readonly keys: { readonly k: layers.Linear; readonly kNorm: Weight } | undefined;
  /** Undefined: the raw keys are the values. */
  readonly v: layers.Linear | undefined;
  readonly ropeFactors: Weight | undefined;
  readonly output: layers.Linear;
  readonly afterAttentionNorm: Weight;
  readonly networkNorm: Weight;
  readonly network: layers.GatedNetwork;
  readonly beside: Beside | undefined;
  readonly afterNorm: Weight;
  readonly perLayer: PerLayer | undefined;
  readonly outputScale: Weight | undefined;
}

function weights(w: WeightLoader, h: Gemma4, layer: number): Block {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const shape = h.attention[layer] as AttentionShape;
  const own = h.lenders[layer] === undefined;
  const has = (name: string) => w.find(`${at}.${name}`) !== undefined;
  const norm = (name: string) => w.vector(`${at}.${name}.weight`, embedding);
  const full = h.windows[layer] === undefined;
  const projection = (which: 'q' | 'k' | 'v') =>
    layers.declareProjection(w, at, which, embedding, shape);
  const headNorm = (name: string) => w.vector(`${at}.${name}.weight`, shape.keyLength);
  // Files have these also in layers that read another's rows.
  if (!own) w.skip(...['k', 'v', 'k_norm'].map((name) => `${at}.attn_${name}.weight`));
  const valued = own && (has('attn_v.weight') || has('attn_qkv.weight'));
  return {
    attentionNorm: norm('attn_norm'),
    q: projection('q'),
    qNorm: headNorm('attn_q_norm'),
    keys: own ? { k: projection('k'), kNorm: headNorm('attn_k_norm') } : undefined,
    v: valued ? projection('v') : undefined,
    ropeFactors: full ? w.vector('rope_freqs.weight', shape.keyLength / 2) : undefined,
    output: layers.declareAttentionOutput(w, at, embedding, shape),
    afterAttentionNorm: norm('post_attention_norm'),
    networkNorm: norm('ffn_norm'),
    network: layers.declareGated(w, at, embedding, h.inner[layer] as number),
    beside: has('ffn_gate_inp.weight') ? declareBeside(w, h, layer) : undefined,
    afterNorm: norm('post_ffw_norm'),
    perLayer: h.perLayerLength > 0 ? declarePerLayer(w, h, at) : undefined,
    outputScale: w.optionalVector(`${at}.layer_output_scale.weight`, [1]),
  };
}

function declareBeside(w: WeightLoader, h: Gemma4, layer: number): Beside {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const inner = h.expertInner[layer] as number;
  const norm = (name: string) => w.vector(`${at}.${name}.weight`, embedding);
  const sizes = { embedding, inner, ...(h.experts[layer] as ExpertCounts) };
  return {
    mixture: experts.declareMixture(w, at, sizes),
    routerScale: w.vector(`${at}.ffn_gate_inp.scale`, embedding),
    afterNetworkNorm: norm('post_ffw_norm_1'),
    expertsNorm: norm('pre_ffw_norm_2'),
    afterExpertsNorm: norm('post_ffw_norm_2'),
  };
}

function declarePerLayer(w: WeightLoader, h: Gemma4, at: string): PerLayer {
  const { embeddingLength: embedding, perLayerLength: length, layerCount, vocabSize } = h;
  return {
    table: w.table('per_layer_token_embd.weight', [length * layerCount, vocabSize], false),
    project: w.matrix('per_layer_model_proj.weight', [embedding, length * layerCount]),
    projectNorm: w.vector('per_layer_proj_norm.weight', length),
    gate: layers.declareLinear(w, `${at}.inp_gate`, embedding, length),
    output: layers.declareLinear(w, `${at}.proj`, length, embedding),
    norm: w.vector(`${at}.post_norm.weight`, embedding),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: Gemma4, b: Block, x: Tensor, layer: number): Tensor {
  const { graph, batch } = stream;
  const { keyLength, valueLength, kvHeads } = h.attention[layer] as AttentionShape;
  const window = h.windows[layer];
  const rope = window === undefined ? h.rope : h.windowRope;
  const options = { scale: 1, window, rope, factors: b.ropeFactors };
  const { epsilon } = h;
  if (b.keys === undefined) {
    const q = layers.splitHeads(graph, layers.linear(graph, b.q, x), keyLength);
    const norm = { weight: b.qNorm, epsilon };
    const input = { batch, layer: h.lenders[layer] as number, q, kvHeads, valueLength };
    return layers.linear(graph, b.output, attendStored(graph, input, { ...options, norm }));
  }
  const { k: kMatrix, kNorm } = b.keys;
  const members = b.v === undefined ? [b.q, kMatrix] : [b.q, kMatrix, b.v];
  const [q, k, v = k] = layers.linears(graph, members, x) as [Tensor, Tensor, Tensor?];
  const values = layers.splitHeads(graph, v, valueLength);
  const input = {
    q: layers.splitHeads(graph, q, keyLength),
    k: layers.splitHeads(graph, k, keyLength),
    v: graph.rmsNorm(values, undefined, epsilon),
  };
  const norms = { q: b.qNorm, k: kNorm, epsilon };
  const seen = attend(graph, { batch, layer, ...input }, { ...options, norms });
  return layers.linear(graph, b.output, seen);
}

/** The network's part, which experts may have a share in; x [embedding, T] is not normalised yet. */
function network(graph: Graph, h: Gemma4, b: Block, x: Tensor): Tensor {
  const norm = (y: Tensor, weight: Weight) => layers.rmsNorm(graph, y, weight, h.epsilon);
  const dense = layers.gatedNetwork(graph, b.network, norm(x, b.networkNorm), 'gelu');
  if (b.beside === undefined) return dense;
  const { mixture, routerScale, afterNetworkNorm, expertsNorm, afterExpertsNorm } = b.beside;
  const rated = graph.scale(norm(x, routerScale), 1 / Math.sqrt(h.embeddingLength));
  const routing = experts.routeMixture(graph, mixture, rated, { normalise: true });
  const input = norm(x, expertsNorm);
  const mixed = experts.mixExperts(graph, mixture.experts, input, routing, 'gelu');
  experts.noteMixed(graph, mixture, input, mixed);
  return graph.add(norm(dense, afterNetworkNorm), norm(mixed, afterExpertsNorm));
}

/** The embeddings of a batch's tokens for all layers: [length, layers, T]; made once. */
function perLayerInputs(stream: layers.Stream, h: Gemma4, p: PerLayer): Tensor {
  const { graph, batch, embeddings } = stream;
  const { perLayerLength: length, layerCount } = h;
  return graph.shared('per-layer inputs', () => {
    const shape = [length, layerCount, batch.tokens.elements];
    const rows = graph.scale(graph.rows(p.table, batch.tokens), Math.sqrt(length));
    const projected = graph.scale(
      graph.linear(p.project, embeddings),
      1 / Math.sqrt(h.embeddingLength),
    );
    const split = graph.reshape(projected, shape);
    const normed = layers.rmsNorm(graph, split, p.projectNorm, h.epsilon);
    return graph.scale(graph.add(normed, graph.reshape(rows, shape)), Math.SQRT1_2);
  });
}

/** What the layer's own embeddings add to x [embedding, outputs]. */
function ownEmbeddings(
  stream: layers.Stream,
  h: Gemma4,
  p: PerLayer,
  x: Tensor,
  layer: number,
): Tensor {
  const { graph } = stream;
  const all = perLayerInputs(stream, h, p);
  const [length, , tokens] = all.shape;
  const own = graph.view(all, [length, tokens], [all.strides[2]], layer * all.strides[1]);
  const gate = layers.linear(graph, p.gate, x);
  const gated = layers.gateWith(graph, gate, stream.narrow(layer, graph.cont(own)), 'gelu');
  return layers.rmsNorm(graph, layers.linear(graph, p.output, gated), p.norm, h.epsilon);
}

function block(stream: layers.Stream, h: Gemma4, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const norm = (y: Tensor, weight: Weight) => layers.rmsNorm(graph, y, weight, h.epsilon);
  const attended = attention(stream, h, b, norm(x, b.attentionNorm), layer);
  const kept = norm(stream.narrow(layer, attended), b.afterAttentionNorm);
  const sum = graph.add(stream.narrow(layer, x), kept);
  let y = graph.add(sum, norm(network(graph, h, b, sum), b.afterNorm));
  if (b.perLayer !== undefined) {
    y = graph.add(y, ownEmbeddings(stream, h, b.perLayer, y, layer));
  }
  return b.outputScale === undefined ? y : graph.mul(y, b.outputScale.tensor);
}

export const gemma4: Decoder = decoder({
  hyperparameters,
  weights,
  block,
  embed: (graph, h, x) => graph.scale(x, Math.fround(Math.sqrt(h.embeddingLength))),
  logits: (graph, h, z) => layers.softcap(graph, z, h.logitSoftcap),
  layerState(h, layer) {
    const lender = h.lenders[layer];
    if (lender !== undefined) return { kind: 'shared', layer: lender };
    return keptRows(h.attention[layer] as AttentionShape, h.windows[layer]);
  },
});

/** What the drafter of this family has in common with it. */
export const gemma4Parts = { readAttention, weights, block } as const;
