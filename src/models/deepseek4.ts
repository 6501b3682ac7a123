/**
 * DeepSeek V4: a residual of several streams (hyper-connections), attention over a window and over rows that
 * stand for blocks of positions, and a mixture of many small experts beside a shared one. In the first layers a token's number
 * chooses its experts. Head and drafters see a sum of the streams.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import type { Weight } from '../ggml/weight.js';
import {
  type AttentionWeights,
  attentionState,
  type CompressedAttention,
  compressedAttention,
  declareCompressedAttention,
  readCompressedAttention,
} from './compressed-attention.js';
import { type Decoder, decoder } from './decoder.js';
import * as experts from './experts.js';
import {
  declareMixer,
  type HyperConnections,
  join,
  type Mixer,
  meanOfStreams,
  readHyperConnections,
  repeatStreams,
  spread,
} from './hyper-connections.js';
import * as layers from './layers.js';
import { type ExpertCounts, type Metadata, readExperts } from './metadata.js';
import type { Hyperparameters } from './model.js';
import type { WeightLoader } from './weights.js';

export interface DeepSeek4 extends CompressedAttention {
  readonly hyper: HyperConnections;
  readonly experts: readonly ExpertCounts[];
  readonly expertInner: readonly number[];
  readonly sharedExperts: number;
  /** Layers at the beginning whose experts a token's number chooses. */
  readonly hashed: number;
  readonly routing: Omit<experts.RoutingOptions, 'used' | 'choiceBias'>;
  /** For each layer what limits the gates of its experts, and of the shared one. */
  readonly limits: readonly (layers.ClampedSilu | 'silu')[];
  readonly sharedLimits: readonly (layers.ClampedSilu | 'silu')[];
}

/** Number of `expert_gating_func`. */
const rootOfSoftplus = 4;

function hyperparameters(m: Metadata, common: Hyperparameters): DeepSeek4 {
  const key = 'attention.compress_ratios';
  const ratios = m.numbers(key).slice(0, common.layerCount);
  if (ratios.length < common.layerCount) {
    throw m.bad(key, `has ${ratios.length} items for ${common.layerCount} layers`);
  }
  requireRating(m);
  return readDeepSeek4(m, common, ratios, m.count('hash_layer_count', undefined, 0));
}

/** @throws {PacelineError} `unsupported-architecture` where experts are rated by another function. */
export function requireRating(m: Metadata): void {
  const gating = m.count('expert_gating_func');
  if (gating === rootOfSoftplus) return;
  throw m.unsupported('expert_gating_func', `experts rated by function ${gating}`);
}

/** The same for layers of which the file does not say which blocks and tables they have. */
export function readDeepSeek4(
  m: Metadata,
  common: Hyperparameters,
  ratios: readonly number[],
  hashed: number,
): DeepSeek4 {
  const { layerCount, epsilon } = common;
  const limits = readLimits(m, 'swiglu_clamp_exp', layerCount);
  const shared = 'swiglu_clamp_shexp';
  return {
    ...readCompressedAttention(m, common, ratios),
    hyper: readHyperConnections(m, epsilon),
    experts: readExperts(m, layerCount, 1),
    expertInner: m.countPerLayer('expert_feed_forward_length', layerCount),
    sharedExperts: m.count('expert_shared_count', undefined, 0),
    hashed,
    routing: {
      rating: 'root of softplus',
      normalise: m.flag('expert_weights_norm', false),
      scale: m.notNegative('expert_weights_scale') || 1,
    },
    limits,
    sharedLimits: m.has(shared) ? readLimits(m, shared, layerCount) : limits,
  };
}

/** Up to this nothing is limited. */
const leastLimit = 1e-6;

function readLimits(m: Metadata, key: string, layerCount: number) {
  return m
    .numberPerLayer(key, layerCount)
    .map((limit): layers.ClampedSilu | 'silu' => (limit <= leastLimit ? 'silu' : { limit }));
}

export interface Block {
  readonly attentionMixer: Mixer;
  readonly attentionNorm: Weight;
  readonly attention: AttentionWeights;
  readonly networkMixer: Mixer;
  readonly networkNorm: Weight;
  readonly mixture: experts.Mixture;
  /** I32 [used, vocabulary]: each token's experts. */
  readonly table: Weight | undefined;
}

/** The weights of block `layer`. */
export function declareBlock(w: WeightLoader, h: DeepSeek4, layer: number): Block {
  const at = `blk.${layer}`;
  const { embeddingLength: embedding, hyper, hashed } = h;
  const inner = h.expertInner[layer] as number;
  const counts = h.experts[layer] as ExpertCounts;
  const sizes = { embedding, inner, ...counts };
  const width = inner * h.sharedExperts;
  w.skip(`${at}.exp_probs_b_vl.bias`); // of pictures
  return {
    attentionMixer: declareMixer(w, `${at}.hc_attn`, embedding, hyper),
    attentionNorm: w.vector(`${at}.attn_norm.weight`, embedding),
    attention: declareCompressedAttention(w, h, layer),
    networkMixer: declareMixer(w, `${at}.hc_ffn`, embedding, hyper),
    networkNorm: w.vector(`${at}.ffn_norm.weight`, embedding),
    mixture: {
      ...experts.declareMixture(w, at, sizes),
      choiceBias: layer < hashed ? undefined : w.vector(`${at}.exp_probs_b.bias`, counts.experts),
      shared: width > 0 ? layers.declareGated(w, at, embedding, width, '_shexp') : undefined,
    },
    table:
      layer < hashed
        ? w.numbers(`${at}.ffn_gate_tid2eid.weight`, [counts.used, h.vocabSize], counts.experts)
        : undefined,
  };
}

/** x [embedding, T] to [embedding, T]; `tokens`: of these rows. */
function network(
  graph: Graph,
  h: DeepSeek4,
  b: Block,
  x: Tensor,
  [layer, tokens]: readonly [number, Tensor],
): Tensor {
  const { shared } = b.mixture;
  const chosen = b.table && graph.getRows(b.table.tensor, tokens);
  const routing = experts.routeMixture(graph, b.mixture, x, { ...h.routing, chosen });
  const limit = h.limits[layer] ?? 'silu';
  const mixed = experts.mixExperts(graph, b.mixture.experts, x, routing, limit);
  const own = shared && layers.gatedNetwork(graph, shared, x, h.sharedLimits[layer] ?? 'silu');
  const result = own === undefined ? mixed : graph.add(mixed, own);
  experts.noteMixed(graph, b.mixture, x, result);
  return result;
}

/** How a block runs besides the usual. */
export interface BlockRun {
  /** The number of the layer's state, where it is not its own. */
  readonly state?: number;
  readonly causal?: boolean;
}

/** The streams x [streams * embedding, T] through one layer. */
export function block(
  stream: layers.Stream,
  h: DeepSeek4,
  b: Block,
  x: Tensor,
  layer: number,
  { state = layer, causal = true }: BlockRun = {},
): Tensor {
  const { graph, batch } = stream;
  const norm = (y: Tensor, weight: Weight) => layers.rmsNorm(graph, y, weight, h.epsilon);
  const before = join(graph, b.attentionMixer, x, h.hyper);
  const attended = compressedAttention(
    ...[graph, h, b.attention, norm(before.sum, b.attentionNorm)],
    { batch, layer: state, causal },
  );
  const narrow = (rows: Tensor) => stream.narrow(layer, rows);
  const between = spread(graph, narrow(attended), narrow(x), narrow(before.mix), h.hyper);
  const again = join(graph, b.networkMixer, between, h.hyper);
  const tokens = graph.reshape(batch.tokens, [1, batch.tokens.elements]);
  const own = narrow(tokens);
  const made = network(graph, h, b, norm(again.sum, b.networkNorm), [
    ...[layer, graph.reshape(own, [own.elements])],
  ] as const);
  return spread(graph, made, between, again.mix, h.hyper);
}

/** One row of the streams for the head: [streams * embedding, T] to [embedding, T]. */
export function collapse(w: WeightLoader, h: DeepSeek4) {
  const mixer = declareMixer(w, 'output_hc', h.embeddingLength, h.hyper, true);
  return (graph: Graph, x: Tensor): Tensor => join(graph, mixer, x, h.hyper).sum;
}

export const deepseek4: Decoder = decoder({
  hyperparameters,
  weights: declareBlock,
  block: (stream, h: DeepSeek4, b, x, layer) => block(stream, h, b, x, layer),
  embed: (graph, h: DeepSeek4, x) => repeatStreams(graph, x, h.hyper.streams),
  collapse,
  hiddenLength: (h) => h.hyper.streams * h.embeddingLength,
  tap: (graph, h: DeepSeek4, x) => meanOfStreams(graph, x, h.hyper.streams),
  layerState: (h, layer) => attentionState(h, layer),
  tied: false,
});
