/**
 * Feed-forward networks of DeepSeek's kind (DeepSeekMoE, arXiv 2401.06066): the first layers have a
 * dense network, the others a mixture of many small experts beside shared ones that every row goes
 * through. GLM-4.5 has the same.
 */
import type { Graph } from '../ggml/graph.js';
import type { Tensor } from '../ggml/tensor.js';
import * as experts from './experts.js';
import * as layers from './layers.js';
import { type ExpertCounts, type Metadata, readExperts } from './metadata.js';
import type { Hyperparameters } from './model.js';
import type { WeightLoader } from './weights.js';

export interface SparseNetwork {
  /** Width of the dense networks. */
  readonly inner: readonly number[];
  /** How many layers at the beginning have them. */
  readonly leadingDense: number;
  readonly experts: readonly ExpertCounts[];
  /** Width of each expert. */
  readonly expertInner: readonly number[];
  /** Shared experts, which are one network as wide as all of them. */
  readonly sharedExperts: number;
  readonly routing: Omit<experts.RoutingOptions, 'used' | 'choiceBias'>;
}

/** Numbers of `expert_gating_func`. */
const ratings = [undefined, 'softmax', 'sigmoid', 'softmax of chosen'] as const;

/** @param usual how ratings are made where the file does not say so. */
export function readSparseNetwork(
  m: Metadata,
  { layerCount }: Hyperparameters,
  usual: 'softmax' | 'sigmoid',
): SparseNetwork {
  const found = m.count('expert_gating_func', 0, 0);
  const rating = found === 0 ? usual : ratings[found];
  if (rating === undefined) {
    throw m.unsupported('expert_gating_func', `experts rated by function ${found}`);
  }
  const experts = readExperts(m, layerCount, 0);
  if (experts.every((layer) => layer.experts === 0)) throw m.bad('expert_count', 'is missing or 0');
  return {
    inner: m.countPerLayer('feed_forward_length', layerCount),
    leadingDense: m.count('leading_dense_block_count', 0, 0),
    experts,
    expertInner: m.countPerLayer('expert_feed_forward_length', layerCount),
    sharedExperts: m.count('expert_shared_count', 0, 0),
    routing: {
      rating,
      normalise: m.flag('expert_weights_norm', false),
      scale: m.notNegative('expert_weights_scale', 0) || 1,
      groups: readGroups(m, experts),
    },
  };
}

function readGroups(m: Metadata, layers: readonly ExpertCounts[]) {
  const count = m.count('expert_group_count', 0, 0);
  if (count <= 1) return undefined;
  const used = m.count('expert_group_used_count');
  for (const { experts, used: chosen } of layers) {
    if (experts % count !== 0)
      throw m.bad('expert_group_count', `is ${count} for ${experts} experts`);
    if (used > count || used * (experts / count) < chosen)
      throw m.bad('expert_group_used_count', `is ${used} of ${count} groups`);
  }
  return { count, used };
}

/** The network of a layer, by its place. */
export function declareSparseNetwork(
  w: WeightLoader,
  h: SparseNetwork & Hyperparameters,
  layer: number,
): layers.GatedNetwork | experts.Mixture {
  const at = `blk.${layer}`;
  const embedding = h.embeddingLength;
  const counts = h.experts[layer] as ExpertCounts;
  if (layer < h.leadingDense || counts.experts === 0) {
    return layers.declareGated(w, at, embedding, h.inner[layer] as number);
  }
  const inner = h.expertInner[layer] as number;
  const sizes = { embedding, inner, ...counts };
  const width = inner * h.sharedExperts;
  return {
    ...experts.declareMixture(w, at, sizes),
    choiceBias: w.optionalVector(`${at}.exp_probs_b.bias`, [counts.experts]),
    shared: width > 0 ? layers.declareGated(w, at, embedding, width, '_shexp') : undefined,
  };
}

/** x [embedding, T] to [embedding, T]. */
export function sparseNetwork(
  graph: Graph,
  h: SparseNetwork,
  network: layers.GatedNetwork | experts.Mixture,
  x: Tensor,
): Tensor {
  return 'router' in network
    ? experts.mixture(graph, network, x, { ...h.routing, activation: 'silu' })
    : layers.gatedNetwork(graph, network, x, 'silu');
}
