/**
 * Llama 1 to 3 (arXiv 2302.13971, 2407.21783), Mistral, SmolLM and, with experts, Mixtral (arXiv
 * 2401.04088): pre-norm transformer with grouped queries, rotation of interleaved pairs (converters
 * permute q and k accordingly), SwiGLU. Biases are allowed.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend, type Temperature, temper } from './attention.js';
import { type Decoder, decoder } from './decoder.js';
import * as experts from './experts.js';
import * as layers from './layers.js';
import { type ExpertCounts, type Metadata, readExperts } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope, ropeFactors } from './rope.js';
import { declareSparseNetwork, type SparseNetwork, sparseNetwork } from './sparse-network.js';
import type { WeightLoader } from './weights.js';

/** With what its relatives have besides; whatever is optional, Llama itself does without. */
export interface Llama extends Hyperparameters {
  readonly rope: Rope;
  readonly inner: readonly number[];
  readonly experts: readonly ExpertCounts[];
  /** DeepSeek's kind of network in place of these. */
  readonly sparse?: SparseNetwork;
  /** Width of the network that every row goes through beside the experts; 0: there is none. */
  readonly sharedInner?: number;
  /** For each layer, whether it rotates queries and keys. */
  readonly rotates?: readonly boolean[];
  /** Default: 1 / sqrt(head). */
  readonly attentionScale?: number | undefined;
  /** What attention and network add is multiplied by it. */
  readonly residualScale?: number;
  readonly temperature?: Temperature | undefined;
  /** The name of the norm before the network; default: `ffn_norm`. */
  readonly networkNorm?: string;
  /** Whether gate and up are one matrix. */
  readonly gateWithUp?: boolean;
}

function hyperparameters(
  m: Metadata,
  common: Hyperparameters,
  rope = readRope(m, common, 'interleaved'),
): Llama {
  return {
    ...common,
    rope,
    inner: m.countPerLayer('feed_forward_length', common.layerCount),
    experts: readExperts(m, common.layerCount, 0),
  };
}

export interface LlamaBlock {
  readonly attentionNorm: Weight;
  readonly qkv: layers.Qkv;
  readonly ropeFactors: Weight | undefined;
  readonly output: layers.Linear;
  readonly networkNorm: Weight;
  readonly network: layers.GatedNetwork | experts.Mixture;
}

function weights(w: WeightLoader, h: Llama, layer: number): LlamaBlock {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const shape = h.attention[layer] as AttentionShape;
  const inner = h.inner[layer] as number;
  const counts = h.experts[layer] as ExpertCounts;
  const { sharedInner = 0 } = h;
  const shared =
    sharedInner > 0 ? layers.declareGated(w, at, embedding, sharedInner, '_shexp') : undefined;
  const dense = h.gateWithUp ? layers.declareGatedTogether : layers.declareGated;
  return {
    attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
    qkv: layers.declareQkv(w, at, embedding, shape),
    ropeFactors: ropeFactors(w, h.rope),
    output: layers.declareAttentionOutput(w, at, embedding, shape),
    networkNorm: w.vector(`${at}.${h.networkNorm ?? 'ffn_norm'}.weight`, embedding),
    network: h.sparse
      ? declareSparseNetwork(w, { ...h, ...h.sparse }, layer)
      : counts.experts === 0
        ? dense(w, at, embedding, inner)
        : { ...experts.declareMixture(w, at, { embedding, inner, ...counts }), shared },
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(
  stream: layers.Stream,
  h: Llama,
  b: LlamaBlock,
  x: Tensor,
  layer: number,
): Tensor {
  const { graph, batch } = stream;
  const shape = h.attention[layer] as AttentionShape;
  const { q, k, v } = layers.projectHeads(graph, b.qkv, x, shape);
  const scale = h.attentionScale ?? 1 / Math.sqrt(shape.keyLength);
  const rope = (h.rotates?.[layer] ?? true) ? h.rope : undefined;
  const tempered = h.temperature ? temper(graph, batch, q, h.temperature) : q;
  const options = { scale, rope, factors: b.ropeFactors };
  const seen = attend(graph, { batch, layer, q: tempered, k, v }, options);
  return layers.linear(graph, b.output, seen);
}

function network(graph: Graph, h: Llama, b: LlamaBlock, x: Tensor): Tensor {
  if (h.sparse) return sparseNetwork(graph, h.sparse, b.network, x);
  if ('router' in b.network) {
    return experts.mixture(graph, b.network, x, { activation: 'silu', normalise: true });
  }
  return layers.gatedNetwork(graph, b.network, x, 'silu');
}

function block(stream: layers.Stream, h: Llama, b: LlamaBlock, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const normed = layers.rmsNorm(graph, x, b.attentionNorm, h.epsilon);
  const { residualScale = 1 } = h;
  const scaled = (y: Tensor) => (residualScale === 1 ? y : graph.scale(y, residualScale));
  const attended = attention(stream, h, b, normed, layer);
  const sum = graph.add(stream.narrow(layer, x), scaled(stream.narrow(layer, attended)));
  const inner = layers.rmsNorm(graph, sum, b.networkNorm, h.epsilon);
  return graph.add(sum, scaled(network(graph, h, b, inner)));
}

/** The parts, for the relatives that differ in some of them. */
export const llamaParts = { hyperparameters, weights, block };

export const llama: Decoder = decoder({
  weights,
  block,
  hyperparameters: (m, common) => hyperparameters(m, common),
});
