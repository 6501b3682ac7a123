/**
 * Qwen3 (arXiv 2505.09388): pre-norm transformer with grouped queries, an RMS norm over each head of
 * q and k before rotation, SwiGLU. `qwen3moe` is the same with experts in place of the network, whose
 * router weights are normalised to sum to one.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import { type Decoder, decoder } from './decoder.js';
import * as experts from './experts.js';
import { headBlock } from './head-block.js';
import * as layers from './layers.js';
import { type ExpertCounts, type Metadata, noExperts, readExperts } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope } from './rope.js';
import type { WeightLoader } from './weights.js';

interface Qwen3 extends Hyperparameters {
  readonly rope: Rope;
  /** Width of the feed-forward network, or of each expert. */
  readonly inner: readonly number[];
  readonly experts: readonly ExpertCounts[];
  /** Positions that a row of a draft block looks back on; undefined: all. */
  readonly window?: number;
}

function hyperparameters(m: Metadata, common: Hyperparameters): Qwen3 {
  const { layerCount } = common;
  const rope = readRope(m, common, 'halves');
  if (m.architecture === 'qwen3') {
    const inner = m.countPerLayer('feed_forward_length', layerCount);
    return { ...common, rope, inner, experts: common.attention.map(() => noExperts) };
  }
  const experts = readExperts(m, layerCount, 1);
  const inner = m.has('expert_feed_forward_length')
    ? m.countPerLayer('expert_feed_forward_length', layerCount)
    : m
        .countPerLayer('feed_forward_length', layerCount)
        .map((n, at) => Math.floor(n / (experts[at] as ExpertCounts).used));
  return { ...common, rope, inner, experts };
}

interface Block {
  readonly attentionNorm: Weight;
  readonly qkv: layers.Qkv;
  readonly qNorm: Weight;
  readonly kNorm: Weight;
  readonly output: layers.Linear;
  readonly networkNorm: Weight;
  readonly network: layers.GatedNetwork | experts.Mixture;
}

function weights(w: WeightLoader, h: Qwen3, layer: number): Block {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const shape = h.attention[layer] as AttentionShape;
  const inner = h.inner[layer] as number;
  const counts = h.experts[layer] as ExpertCounts;
  return {
    attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
    qkv: layers.declareQkv(w, at, embedding, shape),
    qNorm: w.vector(`${at}.attn_q_norm.weight`, shape.keyLength),
    kNorm: w.vector(`${at}.attn_k_norm.weight`, shape.keyLength),
    output: layers.declareAttentionOutput(w, at, embedding, shape),
    networkNorm: w.vector(`${at}.ffn_norm.weight`, embedding),
    network:
      counts.experts === 0
        ? layers.declareGated(w, at, embedding, inner)
        : experts.declareMixture(w, at, { embedding, inner, ...counts }),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: Qwen3, b: Block, x: Tensor, layer: number): Tensor {
  const { graph, batch } = stream;
  const shape = h.attention[layer] as AttentionShape;
  const { q, k, v } = layers.projectHeads(graph, b.qkv, x, shape);
  const scale = 1 / Math.sqrt(shape.keyLength);
  const norms = { q: b.qNorm, k: b.kNorm, epsilon: h.epsilon };
  const seen = attend(
    graph,
    { batch, layer, q, k, v },
    { scale, rope: h.rope, norms, window: h.window },
  );
  return layers.linear(graph, b.output, seen);
}

function network(graph: Graph, b: Block, x: Tensor): Tensor {
  if ('router' in b.network) {
    return experts.mixture(graph, b.network, x, { activation: 'silu', normalise: true });
  }
  return layers.gatedNetwork(graph, b.network, x, 'silu');
}

function block(stream: layers.Stream, h: Qwen3, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const normed = layers.rmsNorm(graph, x, b.attentionNorm, h.epsilon);
  const attended = attention(stream, h, b, normed, layer);
  const sum = graph.add(stream.narrow(layer, x), stream.narrow(layer, attended));
  return graph.add(sum, network(graph, b, layers.rmsNorm(graph, sum, b.networkNorm, h.epsilon)));
}

export const qwen3: Decoder = decoder({
  hyperparameters,
  weights,
  block,
  ranks: true,
});

/** The block of a multi-token prediction head. */
export const qwen3Head = headBlock({ hyperparameters, weights, block });
