/**
 * How mixtures of experts of DeepSeek's kind choose and weigh experts, from config.json: shared experts, dense first
 * layers, groups, scale.
 */
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import type { JsonObject } from './json.js';

export interface SparseDefaults {
  /** A number of `gatings`. */
  readonly gating: number;
  /** Whether weights of the chosen experts add up to 1 where the config does not say so. */
  readonly normalises: boolean;
  /** Whether groups of experts are chosen first. Default true. */
  readonly grouped?: boolean;
  /** Factor of the chosen experts' weights where the config does not say it. Default 1. */
  readonly scale?: number;
}

/** Entries without the architecture's prefix. @throws {PacelineError} `broken-file`. */
export function sparseEntries(
  text: JsonObject,
  { gating, normalises, grouped = true, scale = 1 }: SparseDefaults,
): Map<string, GgufMetadataEntry> {
  const entries = new Map<string, GgufMetadataEntry>();
  const whole = (key: string, from: string, usual?: number) => {
    const value = text.whole(from) ?? usual;
    if (value !== undefined) entries.set(key, ggufValue.uint32(value));
  };
  whole('expert_feed_forward_length', 'moe_intermediate_size');
  whole('expert_shared_count', 'n_shared_experts', 0);
  whole('leading_dense_block_count', 'first_k_dense_replace', 0);
  if (grouped) {
    whole('expert_group_count', 'n_group');
    whole('expert_group_used_count', 'topk_group');
  }
  entries.set('expert_gating_func', ggufValue.uint32(gating));
  entries.set(
    'expert_weights_scale',
    ggufValue.float32(text.number('routed_scaling_factor') ?? scale),
  );
  entries.set(
    'expert_weights_norm',
    ggufValue.boolean(text.boolean('norm_topk_prob') ?? normalises),
  );
  return entries;
}
