/**
 * OLMoE (arXiv 2409.02060): pre-norm transformer of experts; the RMS norm of q and k runs over all
 * heads at once, and the router weights of the chosen experts are not normalised.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import { type Decoder, decoder } from './decoder.js';
import * as experts from './experts.js';
import * as layers from './layers.js';
import { type ExpertCounts, type Metadata, readExperts } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope } from './rope.js';
import type { WeightLoader } from './weights.js';

interface Olmoe extends Hyperparameters {
  readonly rope: Rope;
  /** Width of each expert. */
  readonly inner: readonly number[];
  readonly experts: readonly ExpertCounts[];
}

function hyperparameters(m: Metadata, common: Hyperparameters): Olmoe {
  return {
    ...common,
    rope: readRope(m, common, 'halves'),
    inner: m.countPerLayer('feed_forward_length', common.layerCount),
    experts: readExperts(m, common.layerCount, 1),
  };
}

interface Block {
  readonly attentionNorm: Weight;
  readonly qkv: layers.Qkv;
  readonly qNorm: Weight;
  readonly kNorm: Weight;
  readonly output: layers.Linear;
  readonly networkNorm: Weight;
  readonly network: experts.Mixture;
}

function weights(w: WeightLoader, h: Olmoe, layer: number): Block {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const shape = h.attention[layer] as AttentionShape;
  const inner = h.inner[layer] as number;
  const sizes = { embedding, inner, ...(h.experts[layer] as ExpertCounts) };
  return {
    attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
    qkv: layers.declareQkv(w, at, embedding, shape),
    qNorm: w.vector(`${at}.attn_q_norm.weight`, shape.heads * shape.keyLength),
    kNorm: w.vector(`${at}.attn_k_norm.weight`, shape.kvHeads * shape.keyLength),
    output: layers.declareAttentionOutput(w, at, embedding, shape),
    networkNorm: w.vector(`${at}.ffn_norm.weight`, embedding),
    network: experts.declareMixture(w, at, sizes),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: Olmoe, b: Block, x: Tensor, layer: number): Tensor {
  const { graph, batch } = stream;
  const shape = h.attention[layer] as AttentionShape;
  const wide = { q: b.qNorm, k: b.kNorm, epsilon: h.epsilon };
  const input = layers.projectHeads(graph, b.qkv, x, shape, wide);
  const options = { scale: 1 / Math.sqrt(shape.keyLength), rope: h.rope };
  const seen = attend(graph, { batch, layer, ...input }, options);
  return layers.linear(graph, b.output, seen);
}

function network(graph: Graph, b: Block, x: Tensor): Tensor {
  return experts.mixture(graph, b.network, x, { activation: 'silu', normalise: false });
}

function block(stream: layers.Stream, h: Olmoe, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const normed = layers.rmsNorm(graph, x, b.attentionNorm, h.epsilon);
  const attended = attention(stream, h, b, normed, layer);
  const sum = graph.add(stream.narrow(layer, x), stream.narrow(layer, attended));
  return graph.add(sum, network(graph, b, layers.rmsNorm(graph, sum, b.networkNorm, h.epsilon)));
}

export const olmoe: Decoder = decoder({ hyperparameters, weights, block, tied: false });
