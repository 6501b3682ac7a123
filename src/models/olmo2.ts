/**
 * OLMo 2 and 3 (arXiv 2501.00656): norms behind attention and network instead of before, RMS norms
 * over all heads of q and of k, SwiGLU. OLMo 3 has sliding windows, whose layers don't scale positions.
 */
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import { type Decoder, decoder, keptRows } from './decoder.js';
import * as layers from './layers.js';
import { type Metadata, readWindows } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope } from './rope.js';
import type { WeightLoader } from './weights.js';

interface Olmo2 extends Hyperparameters {
  /** Of the layers that see everything, and of those with a window. */
  readonly rope: Rope;
  readonly windowRope: Rope;
  /** How far back each layer sees; undefined: everything. */
  readonly windows: readonly (number | undefined)[];
  readonly inner: readonly number[];
}

function hyperparameters(m: Metadata, common: Hyperparameters): Olmo2 {
  const rope = readRope(m, common, 'halves');
  return {
    ...common,
    rope,
    windowRope: { ...rope, scale: 1, yarn: 0, magnitude: 1 },
    windows: readWindows(m, common.layerCount, { period: 4 }),
    inner: m.countPerLayer('feed_forward_length', common.layerCount),
  };
}

interface Block {
  readonly qkv: layers.Qkv;
  readonly qNorm: Weight;
  readonly kNorm: Weight;
  readonly output: layers.Linear;
  readonly afterAttentionNorm: Weight;
  readonly network: layers.GatedNetwork;
  readonly afterNetworkNorm: Weight;
}

function weights(w: WeightLoader, h: Olmo2, layer: number): Block {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const shape = h.attention[layer] as AttentionShape;
  return {
    qkv: layers.declareQkv(w, at, embedding, shape),
    qNorm: w.vector(`${at}.attn_q_norm.weight`, shape.heads * shape.keyLength),
    kNorm: w.vector(`${at}.attn_k_norm.weight`, shape.kvHeads * shape.keyLength),
    output: layers.declareAttentionOutput(w, at, embedding, shape),
    afterAttentionNorm: w.vector(`${at}.post_attention_norm.weight`, embedding),
    network: layers.declareGated(w, at, embedding, h.inner[layer] as number),
    afterNetworkNorm: w.vector(`${at}.post_ffw_norm.weight`, embedding),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: Olmo2, b: Block, x: Tensor, layer: number): Tensor {
  const { graph, batch } = stream;
  const shape = h.attention[layer] as AttentionShape;
  const wide = { q: b.qNorm, k: b.kNorm, epsilon: h.epsilon };
  const input = layers.projectHeads(graph, b.qkv, x, shape, wide);
  const window = h.windows[layer];
  const rope = window === undefined ? h.rope : h.windowRope;
  const options = { scale: 1 / Math.sqrt(shape.keyLength), window, rope };
  const seen = attend(graph, { batch, layer, ...input }, options);
  return layers.linear(graph, b.output, seen);
}

function block(stream: layers.Stream, h: Olmo2, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const norm = (y: Tensor, weight: Weight) => layers.rmsNorm(graph, y, weight, h.epsilon);
  const attended = attention(stream, h, b, x, layer);
  const kept = norm(stream.narrow(layer, attended), b.afterAttentionNorm);
  const sum = graph.add(stream.narrow(layer, x), kept);
  const inner = layers.gatedNetwork(graph, b.network, sum, 'silu');
  return graph.add(sum, norm(inner, b.afterNetworkNorm));
}

export const olmo2: Decoder = decoder({
  hyperparameters,
  weights,
  block,
  layerState: (h, layer) => keptRows(h.attention[layer] as AttentionShape, h.windows[layer]),
  tied: false,
});
