/**
 * GLM-4 (the 0414 models): norms before and behind attention and network, rotation of interleaved pairs
 * of a part of each head, biases on q, k and v, gate and up in one matrix.
 */
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import { type Decoder, decoder } from './decoder.js';
import * as layers from './layers.js';
import type { Metadata } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope, refuseSections } from './rope.js';
import type { WeightLoader } from './weights.js';

interface Glm4 extends Hyperparameters {
  readonly rope: Rope;
  readonly inner: readonly number[];
}

function hyperparameters(m: Metadata, common: Hyperparameters): Glm4 {
  refuseSections(m);
  return {
    ...common,
    rope: readRope(m, common, 'interleaved'),
    inner: m.countPerLayer('feed_forward_length', common.layerCount),
  };
}

interface Block {
  readonly attentionNorm: Weight;
  readonly qkv: layers.Qkv;
  readonly output: layers.Linear;
  readonly afterAttentionNorm: Weight;
  readonly networkNorm: Weight;
  readonly network: layers.GatedNetwork;
  readonly afterNetworkNorm: Weight;
}

function weights(w: WeightLoader, h: Glm4, layer: number): Block {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const shape = h.attention[layer] as AttentionShape;
  return {
    attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
    qkv: layers.declareQkv(w, at, embedding, shape),
    output: layers.declareAttentionOutput(w, at, embedding, shape),
    afterAttentionNorm: w.vector(`${at}.post_attention_norm.weight`, embedding),
    networkNorm: w.vector(`${at}.ffn_norm.weight`, embedding),
    network: layers.declareGatedTogether(w, at, embedding, h.inner[layer] as number),
    afterNetworkNorm: w.vector(`${at}.post_ffw_norm.weight`, embedding),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: Glm4, b: Block, x: Tensor, layer: number): Tensor {
  const { graph, batch } = stream;
  const shape = h.attention[layer] as AttentionShape;
  const { q, k, v } = layers.projectHeads(graph, b.qkv, x, shape);
  const options = { scale: 1 / Math.sqrt(shape.keyLength), rope: h.rope };
  const seen = attend(graph, { batch, layer, q, k, v }, options);
  return layers.linear(graph, b.output, seen);
}

function block(stream: layers.Stream, h: Glm4, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const norm = (y: Tensor, weight: Weight) => layers.rmsNorm(graph, y, weight, h.epsilon);
  const attended = attention(stream, h, b, norm(x, b.attentionNorm), layer);
  const kept = norm(stream.narrow(layer, attended), b.afterAttentionNorm);
  const sum = graph.add(stream.narrow(layer, x), kept);
  const inner = layers.gatedNetwork(graph, b.network, norm(sum, b.networkNorm), 'silu');
  return graph.add(sum, norm(inner, b.afterNetworkNorm));
}

export const glm4: Decoder = decoder({ hyperparameters, weights, block });
