/**
 * OLMoE (arXiv 2409.02060): pre-norm transformer of experts; the RMS norm of q and k runs over all
 * heads at once, and the router weights of the chosen experts are not normalised.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import { type Decoder, decoder } from './decoder.js';
import * as layers from './layers.js';
import type { Metadata } from './metadata.js';
import type { ForwardBatch, Hyperparameters } from './model.js';
import { type Rope, readRope } from './rope.js';
import type { WeightLoader } from './weights.js';

interface Olmoe extends Hyperparameters {
  readonly rope: Rope;
  /** Width of each expert. */
  readonly inner: readonly number[];
  readonly experts: number;
  readonly expertsUsed: number;
}

function hyperparameters(m: Metadata, common: Hyperparameters): Olmoe {
  return {
    ...common,
    rope: readRope(m, common, 'halves'),
    inner: m.countPerLayer('feed_forward_length', common.layerCount),
    experts: m.count('expert_count'),
    expertsUsed: m.count('expert_used_count'),
  };
}

interface Block {
  readonly attentionNorm: Weight;
  readonly qkv: layers.Qkv;
  readonly qNorm: Weight;
  readonly kNorm: Weight;
  readonly output: layers.Linear;
  readonly networkNorm: Weight;
  readonly network: layers.Mixture;
}

function weights(w: WeightLoader, h: Olmoe, layer: number): Block {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const inner = h.inner[layer] as number;
  const sizes = { embedding, inner, experts: h.experts, used: h.expertsUsed };
  return {
    attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
    qkv: layers.declareQkv(w, at, h, layer),
    qNorm: w.vector(`${at}.attn_q_norm.weight`, (h.headCounts[layer] as number) * h.headDim),
    kNorm: w.vector(`${at}.attn_k_norm.weight`, (h.kvHeadCounts[layer] as number) * h.headDim),
    output: layers.declareAttentionOutput(w, at, h, layer),
    networkNorm: w.vector(`${at}.ffn_norm.weight`, embedding),
    network: layers.declareMixture(w, at, sizes),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(
  graph: Graph,
  batch: ForwardBatch,
  h: Olmoe,
  b: Block,
  x: Tensor,
  layer: number,
) {
  const { q, k, v } = layers.project(graph, b.qkv, x, h, layer); // [head * heads, T]
  // The norms span all heads, so they come first.
  const normed = (part: Tensor, norm: Weight) => layers.rmsNorm(graph, part, norm, h.epsilon);
  const heads = (part: Tensor) => layers.splitHeads(graph, part, h.headDim);
  const [queries, keys] = [heads(normed(q, b.qNorm)), heads(normed(k, b.kNorm))];
  const options = { scale: 1 / Math.sqrt(h.headDim), rope: h.rope };
  const seen = attend(graph, batch, layer, queries, keys, heads(v), options);
  return layers.linear(graph, b.output, seen);
}

function network(graph: Graph, b: Block, x: Tensor): Tensor {
  return layers.mixture(graph, b.network, x, { activation: 'silu', normalise: false });
}

function block(stream: layers.Stream, h: Olmoe, b: Block, x: Tensor, layer: number): Tensor {
  const { graph, batch } = stream;
  const normed = layers.rmsNorm(graph, x, b.attentionNorm, h.epsilon);
  const attended = attention(graph, batch, h, b, normed, layer);
  const sum = graph.add(stream.narrow(layer, x), stream.narrow(layer, attended));
  return graph.add(sum, network(graph, b, layers.rmsNorm(graph, sum, b.networkNorm, h.epsilon)));
}

export const olmoe: Decoder = decoder({ hyperparameters, weights, block, tied: false });
