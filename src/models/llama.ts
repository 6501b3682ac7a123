/**
 * Llama 1 to 3 (arXiv 2302.13971, 2407.21783), Mistral, SmolLM and, with experts, Mixtral (arXiv
 * 2401.04088): pre-norm transformer with grouped queries, rotation of interleaved pairs (converters
 * permute q and k accordingly), SwiGLU. Biases are allowed.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import { type Decoder, decoder } from './decoder.js';
import * as experts from './experts.js';
import * as layers from './layers.js';
import { type Metadata, readExperts } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope, ropeFactors } from './rope.js';
import type { WeightLoader } from './weights.js';

interface Llama extends Hyperparameters {
  readonly rope: Rope;
  readonly inner: readonly number[];
  /** 0 in dense models. */
  readonly experts: number;
  readonly expertsUsed: number;
}

function hyperparameters(m: Metadata, common: Hyperparameters): Llama {
  return {
    ...common,
    rope: readRope(m, common, 'interleaved'),
    inner: m.countPerLayer('feed_forward_length', common.layerCount),
    ...readExperts(m, false),
  };
}

interface Block {
  readonly attentionNorm: Weight;
  readonly qkv: layers.Qkv;
  readonly ropeFactors: Weight | undefined;
  readonly output: layers.Linear;
  readonly networkNorm: Weight;
  readonly network: layers.GatedNetwork | experts.Mixture;
}

function weights(w: WeightLoader, h: Llama, layer: number): Block {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const shape = h.attention[layer] as AttentionShape;
  const inner = h.inner[layer] as number;
  const sizes = { embedding, inner, experts: h.experts, used: h.expertsUsed };
  return {
    attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
    qkv: layers.declareQkv(w, at, embedding, shape),
    ropeFactors: ropeFactors(w, h.rope),
    output: layers.declareAttentionOutput(w, at, embedding, shape),
    networkNorm: w.vector(`${at}.ffn_norm.weight`, embedding),
    network:
      h.experts === 0
        ? layers.declareGated(w, at, embedding, inner)
        : experts.declareMixture(w, at, sizes),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: Llama, b: Block, x: Tensor, layer: number): Tensor {
  const { graph, batch } = stream;
  const shape = h.attention[layer] as AttentionShape;
  const { q, k, v } = layers.projectHeads(graph, b.qkv, x, shape);
  const scale = 1 / Math.sqrt(shape.keyLength);
  const options = { scale, rope: h.rope, factors: b.ropeFactors };
  const seen = attend(graph, { batch, layer, q, k, v }, options);
  return layers.linear(graph, b.output, seen);
}

function network(graph: Graph, b: Block, x: Tensor): Tensor {
  if ('router' in b.network) {
    return experts.mixture(graph, b.network, x, { activation: 'silu', normalise: true });
  }
  return layers.gatedNetwork(graph, b.network, x, 'silu');
}

function block(stream: layers.Stream, h: Llama, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const normed = layers.rmsNorm(graph, x, b.attentionNorm, h.epsilon);
  const attended = attention(stream, h, b, normed, layer);
  const sum = graph.add(stream.narrow(layer, x), stream.narrow(layer, attended));
  return graph.add(sum, network(graph, b, layers.rmsNorm(graph, sum, b.networkNorm, h.epsilon)));
}

export const llama: Decoder = decoder({ hyperparameters, weights, block });
