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
import { type Metadata, readWindows } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope } from './rope.js';
import type { WeightLoader } from './weights.js';

export interface Gemma3 extends Hyperparameters {
  /** Of the layers that see everything, and of those with a window. */
  readonly rope: Rope;
  readonly windowRope: Rope;
  /** How far back each layer sees; undefined: everything. */
  readonly windows: readonly (number | undefined)[];
  readonly inner: readonly number[];
  readonly attentionScale: number;
  /** Scores are squashed to c * tanh(s / c); 0: they are not. */
  readonly scoreSoftcap: number;
  readonly logitSoftcap: number;
  /** Whether heads of queries and keys have norms. */
  readonly headNorms: boolean;
  /** Whether rows see as far ahead as they see back. */
  readonly bidirectional?: boolean;
}

function hyperparameters(m: Metadata, common: Hyperparameters): Gemma3 {
  const { layerCount, embeddingLength, attention } = common;
  const { heads, keyLength } = attention[0] as AttentionShape;
  const rope = readRope(m, common, 'halves');
  // The 27B model, known by its depth, scales by the width per head instead of the head size.
  const scaleLength = layerCount === 62 ? Math.floor(embeddingLength / heads) : keyLength;
  return {
    ...common,
    rope,
    windowRope: { ...rope, base: m.positive('rope.freq_base_swa', 10000), scale: 1 },
    windows: readWindows(m, layerCount, { period: 6 }),
    inner: m.countPerLayer('feed_forward_length', layerCount),
    attentionScale: 1 / Math.sqrt(scaleLength),
    scoreSoftcap: 0,
    headNorms: true,
    logitSoftcap: m.notNegative('final_logit_softcapping', 0),
  };
}

interface Block {
  readonly attentionNorm: Weight;
  readonly qkv: layers.Qkv;
  readonly headNorms: { readonly q: Weight; readonly k: Weight } | undefined;
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
    headNorms: h.headNorms
      ? {
          q: w.vector(`${at}.attn_q_norm.weight`, shape.keyLength),
          k: w.vector(`${at}.attn_k_norm.weight`, shape.keyLength),
        }
      : undefined,
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
  const norms = b.headNorms && { ...b.headNorms, epsilon: h.epsilon };
  const lookahead = h.bidirectional ? (window ?? Number.POSITIVE_INFINITY) - 1 : 0;
  const options = { scale: h.attentionScale, softcap: h.scoreSoftcap, window, rope, norms };
  const seen = attend(graph, { batch, layer, q, k, v }, { ...options, lookahead });
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

/** The parts, for the relatives that differ in some of them. */
export const gemmaParts = {
  hyperparameters,
  weights,
  block,
  embed: (graph: Graph, h: Gemma3, x: Tensor) =>
    graph.scale(x, Math.fround(Math.sqrt(h.embeddingLength))),
  logits: (graph: Graph, h: Gemma3, z: Tensor) => layers.softcap(graph, z, h.logitSoftcap),
  layerState: (h: Gemma3, layer: number) =>
    keptRows(h.attention[layer] as AttentionShape, h.windows[layer]),
};

export const gemma3: Decoder = decoder(gemmaParts);
