/**
 * Qwen2 and Qwen2.5 (arXiv 2407.10671): pre-norm transformer with grouped queries, biases on q, k
 * and v, SwiGLU.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import { type Decoder, decoder } from './decoder.js';
import * as layers from './layers.js';
import type { Metadata } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope } from './rope.js';
import type { WeightLoader } from './weights.js';

interface Qwen2 extends Hyperparameters {
  readonly rope: Rope;
  readonly inner: readonly number[];
}

function hyperparameters(m: Metadata, common: Hyperparameters): Qwen2 {
  return {
    ...common,
    rope: readRope(m, common, 'halves'),
    inner: m.countPerLayer('feed_forward_length', common.layerCount),
  };
}

interface Block {
  readonly attentionNorm: Weight;
  readonly qkv: layers.Qkv;
  readonly output: layers.Linear;
  readonly networkNorm: Weight;
  readonly network: layers.GatedNetwork;
}

function weights(w: WeightLoader, h: Qwen2, layer: number): Block {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const shape = h.attention[layer] as AttentionShape;
  return {
    attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
    qkv: layers.declareQkv(w, at, embedding, shape),
    output: layers.declareAttentionOutput(w, at, embedding, shape),
    networkNorm: w.vector(`${at}.ffn_norm.weight`, embedding),
    network: layers.declareGated(w, at, embedding, h.inner[layer] as number),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: Qwen2, b: Block, x: Tensor, layer: number): Tensor {
  const { graph, batch } = stream;
  const shape = h.attention[layer] as AttentionShape;
  const { q, k, v } = layers.projectHeads(graph, b.qkv, x, shape);
  const scale = 1 / Math.sqrt(shape.keyLength);
  const seen = attend(graph, { batch, layer, q, k, v }, { scale, rope: h.rope });
  return layers.linear(graph, b.output, seen);
}

function network(graph: Graph, b: Block, x: Tensor): Tensor {
  return layers.gatedNetwork(graph, b.network, x, 'silu');
}

function block(stream: layers.Stream, h: Qwen2, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const normed = layers.rmsNorm(graph, x, b.attentionNorm, h.epsilon);
  const attended = attention(stream, h, b, normed, layer);
  const sum = graph.add(stream.narrow(layer, x), stream.narrow(layer, attended));
  return graph.add(sum, network(graph, b, layers.rmsNorm(graph, sum, b.networkNorm, h.epsilon)));
}

export const qwen2: Decoder = decoder({ hyperparameters, weights, block });
