/**
 * Gemma 3 (arXiv 2503.19786): norms before and after attention and network, an RMS norm over each
 * head of q and k, GeGLU, and five layers with a sliding window (with their own rotation base) for
 * one that sees everything. Embeddings are scaled by sqrt(embedding length).
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import { type Decoder, decoder, keptRows } from './decoder.js';
import * as layers from './layers.js';
import type { Metadata } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope } from './rope.js';
import type { WeightLoader } from './weights.js';

interface Gemma3 extends Hyperparameters {
  /** Of the layers that see everything, and of those with a window. */
  readonly rope: Rope;
  readonly windowRope: Rope;
  /** How far back each layer sees; undefined: everything. */
  readonly windows: readonly (number | undefined)[];
  readonly inner: readonly number[];
  readonly attentionScale: number;
  readonly logitSoftcap: number;
}

function hyperparameters(m: Metadata, common: Hyperparameters): Gemma3 {
  const { layerCount, embeddingLength, attention } = common;
  const { heads, keyLength } = attention[0] as AttentionShape;
  const window = m.count('attention.sliding_window', 0, 0);
  const flags = m.flagPerLayer('attention.sliding_window_pattern', layerCount);
  const period = flags === undefined ? m.count('attention.sliding_window_pattern', 6, 0) : 0;
  const slides = (layer: number) =>
    flags === undefined ? period === 0 || layer % period < period - 1 : flags[layer];
  const rope = readRope(m, common, 'halves');
  // The 27B model, known by its depth, scales by the width per head instead of the head size.
  const scaleLength = layerCount === 62 ? Math.floor(embeddingLength / heads) : keyLength;
  return {
    ...common,
    rope,
    windowRope: { ...rope, base: m.positive('rope.freq_base_swa', 10000), scale: 1 },
    windows: attention.map((_, layer) => (window > 0 && slides(layer) ? window : undefined)),
    inner: m.countPerLayer('feed_forward_length', layerCount),
    attentionScale: 1 / Math.sqrt(scaleLength),
    logitSoftcap: m.notNegative('final_logit_softcapping', 0),
  };
}

interface Block {
  readonly attentionNorm: Weight;
  readonly qkv: layers.Qkv;
  readonly qNorm: Weight;
  readonly kNorm: Weight;
  readonly output: layers.Linear;
  readonly afterAttentionNorm: Weight;
  readonly networkNorm: Weight;
  readonly network: layers.GatedNetwork;
  readonly afterNetworkNorm: Weight;
}

function weights(w: WeightLoader, h: Gemma3, layer: number): Block {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const shape = h.attention[layer] as AttentionShape;
  return {
    attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
    qkv: layers.declareQkv(w, at, embedding, shape),
    qNorm: w.vector(`${at}.attn_q_norm.weight`, shape.keyLength),
    kNorm: w.vector(`${at}.attn_k_norm.weight`, shape.keyLength),
    output: layers.declareAttentionOutput(w, at, embedding, shape),
    afterAttentionNorm: w.vector(`${at}.post_attention_norm.weight`, embedding),
    networkNorm: w.vector(`${at}.ffn_norm.weight`, embedding),
    network: layers.declareGated(w, at, embedding, h.inner[layer] as number),
    afterNetworkNorm: w.vector(`${at}.post_ffw_norm.weight`, embedding),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: Gemma3, b: Block, x: Tensor, layer: number): Tensor {
  const { graph, batch } = stream;
  const shape = h.attention[layer] as AttentionShape;
  const { q, k, v } = layers.projectHeads(graph, b.qkv, x, shape);
  const window = h.windows[layer];
  const rope = window === undefined ? h.rope : h.windowRope;
  const norms = { q: b.qNorm, k: b.kNorm, epsilon: h.epsilon };
  const options = { scale: h.attentionScale, window, rope, norms };
  const seen = attend(graph, { batch, layer, q, k, v }, options);
  return layers.linear(graph, b.output, seen);
}

function network(graph: Graph, b: Block, x: Tensor): Tensor {
  return layers.gatedNetwork(graph, b.network, x, 'gelu');
}

function block(stream: layers.Stream, h: Gemma3, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const norm = (y: Tensor, weight: Weight) => layers.rmsNorm(graph, y, weight, h.epsilon);
  const attended = attention(stream, h, b, norm(x, b.attentionNorm), layer);
  const kept = norm(stream.narrow(layer, attended), b.afterAttentionNorm);
  const sum = graph.add(stream.narrow(layer, x), kept);
  return graph.add(sum, norm(network(graph, b, norm(sum, b.networkNorm)), b.afterNetworkNorm));
}

export const gemma3: Decoder = decoder({
  hyperparameters,
  weights,
  block,
  embed: (graph, h, x) => graph.scale(x, Math.fround(Math.sqrt(h.embeddingLength))),
  logits: (graph, h, z) => layers.softcap(graph, z, h.logitSoftcap),
  layerState: (h, layer) => keptRows(h.attention[layer] as AttentionShape, h.windows[layer]),
});
