/**
 * Hunyuan, the dense models: pre-norm transformer with grouped queries, SwiGLU, and an RMS norm over
 * each head of q and k behind the rotation. The base of the rotation grows with a factor (NTK).
 */
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import { type Decoder, decoder } from './decoder.js';
import * as layers from './layers.js';
import type { Metadata } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope, refuseSections, ropeFactors } from './rope.js';
import type { WeightLoader } from './weights.js';

interface Hunyuan extends Hyperparameters {
  readonly rope: Rope;
  readonly inner: readonly number[];
}

function hyperparameters(m: Metadata, common: Hyperparameters): Hunyuan {
  refuseSections(m);
  const rope = readRope(m, common, 'halves');
  const { keyLength } = common.attention[0] as AttentionShape;
  const alpha = m.notNegative('rope.scaling.alpha', 0);
  const growth = alpha > 0 ? alpha ** (keyLength / (keyLength - 2)) : 1;
  return {
    ...common,
    rope: { ...rope, base: rope.base * growth },
    inner: m.countPerLayer('feed_forward_length', common.layerCount),
  };
}

interface Block {
  readonly attentionNorm: Weight;
  readonly qkv: layers.Qkv;
  readonly ropeFactors: Weight | undefined;
  readonly qNorm: Weight;
  readonly kNorm: Weight;
  readonly output: layers.Linear;
  readonly networkNorm: Weight;
  readonly network: layers.GatedNetwork;
}

function weights(w: WeightLoader, h: Hunyuan, layer: number): Block {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const shape = h.attention[layer] as AttentionShape;
  return {
    attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
    qkv: layers.declareQkv(w, at, embedding, shape),
    ropeFactors: ropeFactors(w, h.rope),
    qNorm: w.vector(`${at}.attn_q_norm.weight`, shape.keyLength),
    kNorm: w.vector(`${at}.attn_k_norm.weight`, shape.keyLength),
    output: layers.declareAttentionOutput(w, at, embedding, shape),
    networkNorm: w.vector(`${at}.ffn_norm.weight`, embedding),
    network: layers.declareGated(w, at, embedding, h.inner[layer] as number),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: Hunyuan, b: Block, x: Tensor, layer: number): Tensor {
  const { graph, batch } = stream;
  const shape = h.attention[layer] as AttentionShape;
  const { q, k, v } = layers.projectHeads(graph, b.qkv, x, shape);
  const turned = (part: Tensor, norm: Weight) => {
    const rotated = graph.rope(part, batch.positions, h.rope, b.ropeFactors?.tensor);
    return layers.rmsNorm(graph, rotated, norm, h.epsilon);
  };
  const input = { batch, layer, q: turned(q, b.qNorm), k: turned(k, b.kNorm), v };
  const seen = attend(graph, input, { scale: 1 / Math.sqrt(shape.keyLength), rope: undefined });
  return layers.linear(graph, b.output, seen);
}

function block(stream: layers.Stream, h: Hunyuan, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const norm = (y: Tensor, weight: Weight) => layers.rmsNorm(graph, y, weight, h.epsilon);
  const attended = attention(stream, h, b, norm(x, b.attentionNorm), layer);
  const sum = graph.add(stream.narrow(layer, x), stream.narrow(layer, attended));
  return graph.add(sum, layers.gatedNetwork(graph, b.network, norm(sum, b.networkNorm), 'silu'));
}

export const hunyuanDense: Decoder = decoder({ hyperparameters, weights, block });
