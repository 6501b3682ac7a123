/**
 * gpt-oss (arXiv 2508.10925): a mixture of experts with biases everywhere and a clamped SwiGLU, whose
 * router weighs only the chosen experts; every other layer has a sliding window, and each head a sink,
 * a logit that takes attention away and gives nothing for it.
 */
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import { type Decoder, decoder, keptRows } from './decoder.js';
import * as experts from './experts.js';
import * as layers from './layers.js';
import { type ExpertCounts, type Metadata, readExperts, readWindows } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope } from './rope.js';
import type { WeightLoader } from './weights.js';

interface GptOss extends Hyperparameters {
  /** Of the layers that see everything, and of those with a window. */
  readonly rope: Rope;
  readonly windowRope: Rope;
  /** How far back each layer sees; undefined: everything. */
  readonly windows: readonly (number | undefined)[];
  /** Width of each expert. */
  readonly inner: readonly number[];
  readonly experts: readonly ExpertCounts[];
}

function hyperparameters(m: Metadata, common: Hyperparameters): GptOss {
  const { layerCount } = common;
  const rope = readRope(m, common, 'halves');
  return {
    ...common,
    rope,
    windowRope: { ...rope, base: m.positive('rope.freq_base_swa', rope.base) },
    windows: readWindows(m, layerCount, { period: 2 }),
    inner: m.countPerLayer('expert_feed_forward_length', layerCount),
    experts: readExperts(m, layerCount, 1),
  };
}

interface Block {
  readonly attentionNorm: Weight;
  readonly qkv: layers.Qkv;
  readonly sinks: Weight;
  readonly output: layers.Linear;
  readonly networkNorm: Weight;
  readonly mixture: experts.Mixture;
}

function weights(w: WeightLoader, h: GptOss, layer: number): Block {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const shape = h.attention[layer] as AttentionShape;
  const inner = h.inner[layer] as number;
  const sizes = { embedding, inner, ...(h.experts[layer] as ExpertCounts) };
  return {
    attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
    qkv: layers.declareQkv(w, at, embedding, shape),
    sinks: w.vector(`${at}.attn_sinks.weight`, shape.heads),
    output: layers.declareAttentionOutput(w, at, embedding, shape),
    networkNorm: w.vector(`${at}.post_attention_norm.weight`, embedding),
    mixture: experts.declareMixture(w, at, sizes, { biases: true }),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: GptOss, b: Block, x: Tensor, layer: number): Tensor {
  const { graph, batch } = stream;
  const shape = h.attention[layer] as AttentionShape;
  const { q, k, v } = layers.projectHeads(graph, b.qkv, x, shape);
  const window = h.windows[layer];
  const rope = window === undefined ? h.rope : h.windowRope;
  const options = { scale: 1 / Math.sqrt(shape.keyLength), window, rope, sinks: b.sinks };
  const seen = attend(graph, { batch, layer, q, k, v }, options);
  return layers.linear(graph, b.output, seen);
}

function block(stream: layers.Stream, h: GptOss, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const norm = (y: Tensor, weight: Weight) => layers.rmsNorm(graph, y, weight, h.epsilon);
  const attended = attention(stream, h, b, norm(x, b.attentionNorm), layer);
  const sum = graph.add(stream.narrow(layer, x), stream.narrow(layer, attended));
  const mixed = experts.mixture(graph, b.mixture, norm(sum, b.networkNorm), {
    activation: 'swiglu-oai',
    rating: 'softmax of chosen',
    normalise: false,
  });
  return graph.add(sum, mixed);
}

export const gptOss: Decoder = decoder({
  hyperparameters,
  weights,
  block,
  layerState: (h, layer) => keptRows(h.attention[layer] as AttentionShape, h.windows[layer]),
  tied: false,
});
