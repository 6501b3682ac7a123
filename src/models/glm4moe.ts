/**
 * GLM-4.5 and 4.6 (arXiv 2508.06471): pre-norm transformer with grouped queries, of whose heads a part is
 * rotated and which the larger models normalise, biases on q, k and v, and DeepSeek's mixture of
 * experts behind a dense first layer.
 */
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import { type Decoder, decoder } from './decoder.js';
import type { Mixture } from './experts.js';
import * as layers from './layers.js';
import type { Metadata } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope, refuseSections } from './rope.js';
import {
  declareSparseNetwork,
  readSparseNetwork,
  type SparseNetwork,
  sparseNetwork,
} from './sparse-network.js';
import type { WeightLoader } from './weights.js';

interface Glm4Moe extends Hyperparameters, SparseNetwork {
  readonly rope: Rope;
}

function hyperparameters(m: Metadata, common: Hyperparameters): Glm4Moe {
  refuseSections(m);
  const rope = readRope(m, common, 'halves');
  return { ...common, ...readSparseNetwork(m, common, 'sigmoid'), rope };
}

interface Block {
  readonly attentionNorm: Weight;
  readonly qkv: layers.Qkv;
  readonly headNorms: { readonly q: Weight; readonly k: Weight } | undefined;
  readonly output: layers.Linear;
  readonly networkNorm: Weight;
  readonly network: layers.GatedNetwork | Mixture;
}

function weights(w: WeightLoader, h: Glm4Moe, layer: number): Block {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const shape = h.attention[layer] as AttentionShape;
  const headNorm = (name: string) => w.vector(`${at}.${name}.weight`, shape.keyLength);
  const normed = w.find(`${at}.attn_q_norm.weight`) !== undefined;
  return {
    attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
    qkv: layers.declareQkv(w, at, embedding, shape),
    headNorms: normed ? { q: headNorm('attn_q_norm'), k: headNorm('attn_k_norm') } : undefined,
    output: layers.declareAttentionOutput(w, at, embedding, shape),
    networkNorm: w.vector(`${at}.post_attention_norm.weight`, embedding),
    network: declareSparseNetwork(w, h, layer),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: Glm4Moe, b: Block, x: Tensor, layer: number): Tensor {
  const { graph, batch } = stream;
  const shape = h.attention[layer] as AttentionShape;
  const { q, k, v } = layers.projectHeads(graph, b.qkv, x, shape);
  const norms = b.headNorms && { ...b.headNorms, epsilon: h.epsilon };
  const options = { scale: 1 / Math.sqrt(shape.keyLength), rope: h.rope, norms };
  const seen = attend(graph, { batch, layer, q, k, v }, options);
  return layers.linear(graph, b.output, seen);
}

function block(stream: layers.Stream, h: Glm4Moe, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const norm = (y: Tensor, weight: Weight) => layers.rmsNorm(graph, y, weight, h.epsilon);
  const attended = attention(stream, h, b, norm(x, b.attentionNorm), layer);
  const sum = graph.add(stream.narrow(layer, x), stream.narrow(layer, attended));
  return graph.add(sum, sparseNetwork(graph, h, b.network, norm(sum, b.networkNorm)));
}

export const glm4moe: Decoder = decoder({ hyperparameters, weights, block });
