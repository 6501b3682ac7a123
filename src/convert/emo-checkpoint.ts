/**
 * EMO's checkpoints (allenai/EMO, class EmoForCausalLM, arXiv 2605.06663) as GGUF's `deepseek`: the last
 * of a layer's experts is shared, the router's rows of shared experts are never used, and layers that
 * were pruned unevenly, or to a dense network, say so in lists.
 */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import { emoClass } from './classes.js';
import type { JsonObject } from './json.js';

/** The network of a layer; no experts: a dense one. */
export interface EmoLayer {
  /** Experts that the router chooses among. */
  readonly experts: number;
  /** Experts behind them, which every token goes through: 0 or 1. */
  readonly shared: number;
  /** Of the former, how many a token goes through. */
  readonly used: number;
}

/** What released configurations were trained with, where they say -1. */
const usualContext = 4096;

/**
 * The networks of all layers.
 * @throws {PacelineError} `unsupported-architecture` for forms that GGUF cannot express, `broken-file`.
 */
export function readEmoLayers(config: JsonObject, layers: number): readonly EmoLayer[] {
  if (config.boolean('norm_topk_prob') === true) throw unsupported('Normalised router weights');
  for (const key of ['always_active_experts', 'always_active_experts_per_layer']) {
    if ((config.list(key)?.flat() ?? []).some((id) => id !== null))
      throw unsupported(`Experts that are always active by number (${key})`);
  }
  const perToken = config.requiredCount('num_experts_per_tok');
  const all = perLayer(config, 'num_experts', layers);
  const shared = perLayer(config, 'num_shared_experts', layers);
  return all.map((count, layer): EmoLayer => {
    if (count === 0) return { experts: 0, shared: 0, used: 0 };
    const own = shared[layer] as number;
    // Their weights are 1 in training, and a softmax over their own logits in the published code.
    if (own > 1)
      throw unsupported('More than one shared expert, which training and code weigh differently');
    const experts = count - own;
    const used = Math.min(perToken - own, experts);
    if (used >= 1) return { experts, shared: own, used };
    throw config.wrong('num_experts', `leaves layer ${layer} no experts to choose from`);
  });
}

/** A whole number for all layers, or the list that counts where there is one. */
function perLayer(config: JsonObject, key: string, layers: number): readonly number[] {
  const list = config.list(`${key}_per_layer`);
  const values = list ?? new Array<unknown>(layers).fill(config.number(key) ?? 0);
  const where = list === undefined ? key : `${key}_per_layer`;
  if (values.length !== layers)
    throw config.wrong(where, `has ${values.length} of ${layers} layers`);
  return values.map((value) => {
    if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65_536)
      return value as number;
    throw config.wrong(where, 'is not made of whole numbers');
  });
}

/** The metadata that other architectures do not have, without its prefix. */
export function emoMetadata(
  config: JsonObject,
  layers: readonly EmoLayer[],
  { dimensions, vocabSize }: { readonly dimensions: number; readonly vocabSize: number },
): ReadonlyMap<string, GgufMetadataEntry> {
  const mixtures = layers.filter(({ experts }) => experts > 0);
  const [first] = mixtures;
  if (first === undefined) throw unsupported('A model without experts');
  const leading = layers.findIndex(({ experts }) => experts > 0);
  const shared = new Set(mixtures.map((layer) => layer.shared));
  if (shared.size > 1) throw unsupported('A shared expert in some layers only');
  const even = layers
    .slice(leading)
    .every(({ experts, used }) => experts === first.experts && used === first.used);
  const counts = (of: (layer: EmoLayer) => number) =>
    even ? ggufValue.uint32(of(first)) : ggufValue.numbers('uint32', layers.map(of));
  const inner = config.requiredCount('intermediate_size');
  return new Map([
    ['context_length', ggufValue.uint32(contextOf(config))],
    ['feed_forward_length', ggufValue.uint32(config.count('dense_intermediate_size') ?? inner)],
    ['expert_feed_forward_length', ggufValue.uint32(inner)],
    ['expert_count', counts(({ experts }) => experts)],
    ['expert_used_count', counts(({ used }) => used)],
    ['expert_shared_count', ggufValue.uint32(first.shared)],
    ['expert_weights_scale', ggufValue.float32(1)],
    ['leading_dense_block_count', ggufValue.uint32(leading)],
    ['rope.dimension_count', ggufValue.uint32(dimensions)],
    ['vocab_size', ggufValue.uint32(vocabSize)],
  ]);
}

function contextOf(config: JsonObject): number {
  const given = config.number('max_position_embeddings');
  if (given === undefined || given === -1) return usualContext;
  return config.requiredCount('max_position_embeddings');
}

function unsupported(what: string): PacelineError {
  return new PacelineError('unsupported-architecture', `${what} cannot be converted`, {
    hint: 'Known are EMO’s released form, with or without one shared expert, and its pruned ones.',
    details: { architecture: emoClass },
  });
}
