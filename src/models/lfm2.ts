/**
 * LFM2 (arXiv 2511.23404): most layers are short gated convolutions, the others attention with grouped
 * queries and an RMS norm over each head of q and k; SwiGLU. `lfm2moe` has experts in place of the
 * network behind the first layers, chosen with a bias that does not weigh them.
 */
import { mostShortConvolution, shortConvolution } from '../ggml/native/short-convolution.js';
import { shortConvolutionShape } from '../ggml/recurrent-shape.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import { attend } from './attention.js';
import { type Decoder, decoder, keptRows } from './decoder.js';
import type { Mixture } from './experts.js';
import { foldedSlices, requireRecurrentKernels } from './folded-state.js';
import * as layers from './layers.js';
import type { Metadata } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import { type Rope, readRope } from './rope.js';
import {
  declareSparseNetwork,
  readSparseNetwork,
  type SparseNetwork,
  sparseNetwork,
} from './sparse-network.js';
import type { WeightLoader } from './weights.js';

/** Layers without heads of keys are convolutions. */
interface Lfm2 extends Hyperparameters {
  readonly rope: Rope;
  /** Rows that a convolution covers. */
  readonly kernel: number;
  /** How far back attention sees; undefined: everything. */
  readonly window: number | undefined;
  readonly inner: readonly number[];
  readonly sparse: SparseNetwork | undefined;
}

function hyperparameters(m: Metadata, common: Hyperparameters): Lfm2 {
  requireRecurrentKernels();
  const kernel = m.count('shortconv.l_cache');
  if (kernel > mostShortConvolution)
    throw m.bad('shortconv.l_cache', `is ${kernel}, at most ${mostShortConvolution}`);
  const sparse = m.architecture === 'lfm2moe' ? readSparseNetwork(m, common, 'sigmoid') : undefined;
  return {
    ...common,
    rope: readRope(m, common, 'halves'),
    kernel,
    window: m.count('attention.sliding_window', 0, 0) || undefined,
    inner: m.countPerLayer('feed_forward_length', common.layerCount),
    sparse: sparse && { ...sparse, routing: { ...sparse.routing, normalise: true } },
  };
}

interface Attention {
  readonly qkv: layers.Qkv;
  readonly qNorm: Weight;
  readonly kNorm: Weight;
  readonly output: layers.Linear;
}

interface Convolution {
  /** What goes in, the gate of what comes out, and the values. */
  readonly input: layers.Linear;
  /** [kernel, embedding]. */
  readonly kernel: Weight;
  readonly output: layers.Linear;
}

interface Block {
  readonly norm: Weight;
  readonly mixer: Attention | Convolution;
  readonly networkNorm: Weight;
  readonly network: layers.GatedNetwork | Mixture;
}

function weights(w: WeightLoader, h: Lfm2, layer: number): Block {
  const at = `blk.${layer}`;
  const { embeddingLength: embedding, sparse } = h;
  const { kvHeads } = h.attention[layer] as AttentionShape;
  return {
    norm: w.vector(`${at}.attn_norm.weight`, embedding),
    mixer: kvHeads > 0 ? declareAttention(w, h, layer) : declareConvolution(w, h, layer),
    networkNorm: w.vector(`${at}.ffn_norm.weight`, embedding),
    network: sparse
      ? declareSparseNetwork(w, { ...h, ...sparse }, layer)
      : layers.declareGated(w, at, embedding, h.inner[layer] as number),
  };
}

function declareAttention(w: WeightLoader, h: Lfm2, layer: number): Attention {
  const at = `blk.${layer}`;
  const shape = h.attention[layer] as AttentionShape;
  return {
    qkv: layers.declareQkv(w, at, h.embeddingLength, shape),
    qNorm: w.vector(`${at}.attn_q_norm.weight`, shape.keyLength),
    kNorm: w.vector(`${at}.attn_k_norm.weight`, shape.keyLength),
    output: layers.declareAttentionOutput(w, at, h.embeddingLength, shape),
  };
}

function declareConvolution(w: WeightLoader, h: Lfm2, layer: number): Convolution {
  const at = `blk.${layer}.shortconv`;
  const { embeddingLength: embedding, kernel } = h;
  return {
    input: layers.declareLinear(w, `${at}.in_proj`, embedding, 3 * embedding),
    kernel: w.vector(`${at}.conv.weight`, [kernel, embedding]),
    output: layers.declareLinear(w, `${at}.out_proj`, embedding, embedding),
  };
}

/** x [embedding, T] to [embedding, T]. */
function attention(stream: layers.Stream, h: Lfm2, a: Attention, x: Tensor, layer: number) {
  const { graph, batch } = stream;
  const shape = h.attention[layer] as AttentionShape;
  const { q, k, v } = layers.projectHeads(graph, a.qkv, x, shape);
  const norms = { q: a.qNorm, k: a.kNorm, epsilon: h.epsilon };
  const options = { scale: 1 / Math.sqrt(shape.keyLength), rope: h.rope, norms, window: h.window };
  return layers.linear(graph, a.output, attend(graph, { batch, layer, q, k, v }, options));
}

/** x [embedding, T] to [embedding, T]. */
function convolution(stream: layers.Stream, c: Convolution, x: Tensor, layer: number) {
  const { graph, batch } = stream;
  const mix = layers.linear(graph, c.input, x); // [3 * embedding, T]
  const slices = foldedSlices(batch, layer);
  const seen = shortConvolution(requireRecurrentKernels(), graph, mix, c.kernel.tensor, slices);
  return layers.linear(graph, c.output, seen);
}

function block(stream: layers.Stream, h: Lfm2, b: Block, x: Tensor, layer: number): Tensor {
  const { graph } = stream;
  const normed = layers.rmsNorm(graph, x, b.norm, h.epsilon);
  const mixed =
    'kernel' in b.mixer
      ? convolution(stream, b.mixer, normed, layer)
      : attention(stream, h, b.mixer, normed, layer);
  const sum = graph.add(stream.narrow(layer, x), stream.narrow(layer, mixed));
  const rows = layers.rmsNorm(graph, sum, b.networkNorm, h.epsilon);
  if (h.sparse) return graph.add(sum, sparseNetwork(graph, h.sparse, b.network, rows));
  return graph.add(sum, layers.gatedNetwork(graph, b.network as layers.GatedNetwork, rows, 'silu'));
}

export const lfm2: Decoder = decoder({
  ...{ hyperparameters, weights, block },
  layerState: (h, layer) => {
    const shape = h.attention[layer] as AttentionShape;
    if (shape.kvHeads > 0) return keptRows(shape, h.window);
    const sizes = { kernel: h.kernel, channels: h.embeddingLength };
    return { kind: 'recurrent', ...shortConvolutionShape(sizes) };
  },
  mixed: true,
  outputNorm: 'token_embd_norm',
});
