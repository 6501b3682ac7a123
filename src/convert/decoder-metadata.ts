/**
 * The metadata that decoders have in common, from config.json's usual keys: what llama.cpp's converter writes for
 * every text model. Architectures set the rest themselves.
 */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters } from './checkpoint-shape.js';
import type { JsonObject } from './json.js';
import { type SetEntry, setRope } from './rope-metadata.js';

export interface DecoderConfig {
  readonly architecture: string;
  /** The part of the config that is the text model's. */
  readonly text: JsonObject;
  readonly layers: number;
  readonly embedding: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  /** 0 in dense models. */
  readonly experts: number;
  readonly tied: boolean;
  /** With the architecture's prefix. */
  readonly metadata: Map<string, GgufMetadataEntry>;
  readonly set: SetEntry;
  readonly ropeFactors: CheckpointHyperparameters['ropeFactors'];
}

/** As many layers as the engine takes: lists of them are made before a tensor is seen. */
export const mostLayers = 1024;

/** Numbers of `expert_gating_func`. */
export const gatings = { softmax: 1, sigmoid: 2, sqrtsoftplus: 4 } as const;

/**
 * Reads what decoders have in common.
 * @throws {PacelineError} `broken-file`, `unsupported-architecture`.
 */
export function readDecoderConfig(config: JsonObject, architecture: string): DecoderConfig {
  const text = config.object('text_config') ?? config;
  const layers = text.requiredCount('num_hidden_layers');
  if (layers > mostLayers) {
    throw text.wrong('num_hidden_layers', `is ${layers}, at most ${mostLayers}`);
  }
  const embedding = text.requiredCount('hidden_size');
  const heads = text.requiredCount('num_attention_heads');
  const kvHeads = text.count('num_key_value_heads') ?? heads;
  const given = text.count('head_dim');
  const headDim = given ?? Math.floor(embedding / heads);
  const vocabSize = text.count('vocab_size') ?? config.requiredCount('vocab_size');
  const experts = expertsOf(text);
  const metadata = new Map<string, GgufMetadataEntry>();
  const set: SetEntry = (key, entry) => metadata.set(`${architecture}.${key}`, entry);
  const count = (key: string, value: number | undefined) => {
    if (value !== undefined) set(key, ggufValue.uint32(value));
  };
  set('block_count', ggufValue.uint32(layers));
  count('context_length', text.requiredCount('max_position_embeddings'));
  count('embedding_length', embedding);
  count('feed_forward_length', text.count('intermediate_size'));
  count('attention.head_count', heads);
  count('attention.head_count_kv', kvHeads);
  set('attention.layer_norm_rms_epsilon', ggufValue.float32(text.number('rms_norm_eps') ?? 1e-6));
  if (experts > 0) {
    count('expert_count', experts);
    count('expert_used_count', usedOf(text));
  }
  count('attention.key_length', given);
  count('attention.value_length', given);
  const ropeFactors = setRope(set, text, { architecture, dimensions: headDim, gemma: false });
  const tied = text.boolean('tie_word_embeddings') ?? config.boolean('tie_word_embeddings');
  return {
    ...{ architecture, text, layers, embedding, heads, kvHeads, headDim, vocabSize, experts },
    ...{ tied: tied ?? false, metadata, set, ropeFactors },
  };
}

const expertsOf = (text: JsonObject): number =>
  text.count('num_local_experts') ??
  text.count('num_experts') ??
  text.count('n_routed_experts') ??
  0;

const usedOf = (text: JsonObject): number =>
  text.count('num_experts_per_tok') ?? text.requiredCount('num_experts_per_token');

/** The object of rotary positions, in transformers 5's form or the one before. */
export function ropeOf(text: JsonObject): JsonObject | undefined {
  return text.object('rope_parameters') ?? text.object('rope_scaling');
}

/** How many elements of a head are rotated. */
export function rotatedOf({ text, headDim }: DecoderConfig, usual: number): number {
  const part =
    ropeOf(text)?.number('partial_rotary_factor') ?? text.number('partial_rotary_factor') ?? usual;
  return Math.trunc(headDim * part);
}

/** Refuses a config, or a value in it. */
export function refuseConfig(
  what: string,
  { architecture }: { readonly architecture: string },
): never {
  throw new PacelineError('unsupported-architecture', `${what} is not supported`, {
    details: { architecture },
  });
}

/** Requires that settings, where they are given, are what the engine computes. */
export function requireValues(
  config: DecoderConfig,
  computed: Readonly<Record<string, string | number | boolean>>,
): void {
  for (const [key, value] of Object.entries(computed)) {
    const given = config.text.get(key) ?? value;
    if (given !== value)
      refuseConfig(`${config.architecture} with ${key} ${JSON.stringify(given)}`, config);
  }
}
