/**
 * Checkpoints of Nomic's BERT (`NomicBertModel`, arXiv 2402.01613): hyperparameters, which it names as GPT-2
 * does, and names of tensors. Keys and names are those of llama.cpp's converter. Tokenizer and pooling are
 * those of BERT.
 */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters } from './checkpoint-shape.js';
import { nomicArchitecture } from './classes.js';
import type { JsonObject } from './json.js';
import { layeredName } from './layered-names.js';

/** Settings of the class and the values that the engine computes; left out they have these too. */
const computed = {
  activation_function: 'swiglu',
  ...{ causal: false, prenorm: false, parallel_block: false, use_rms_norm: false },
  ...{ qkv_proj_bias: false, mlp_fc1_bias: false, mlp_fc2_bias: false },
  ...{ rotary_emb_fraction: 1, rotary_emb_interleaved: false, moe_every_n_layers: 0 },
} as const;

/** @throws {PacelineError} `broken-file`, `unsupported-architecture`. */
export function readNomicHyperparameters(config: JsonObject): CheckpointHyperparameters {
  return nomicCommon(config, { architecture: nomicArchitecture, computed });
}

/**
 * What it has with experts and without.
 * @param of `computed` has the settings that the engine computes, which the config must not contradict.
 * @throws {PacelineError} `broken-file`, `unsupported-architecture`.
 */
export function nomicCommon(
  config: JsonObject,
  of: {
    readonly architecture: string;
    readonly computed: Readonly<Record<string, string | number | boolean>>;
  },
): CheckpointHyperparameters {
  const { architecture } = of;
  for (const [key, value] of Object.entries(of.computed)) {
    const given = config.get(key) ?? value;
    if (given === value) continue;
    throw new PacelineError(
      'unsupported-architecture',
      `Nomic's BERT with ${key} ${JSON.stringify(given)} is not supported`,
    );
  }
  const layers = config.requiredCount('n_layer');
  const heads = config.requiredCount('n_head');
  const embedding = config.requiredCount('n_embd');
  const metadata = new Map<string, GgufMetadataEntry>();
  const set = (key: string, entry: GgufMetadataEntry) =>
    metadata.set(`${architecture}.${key}`, entry);
  // What it was trained on: positions beyond need another rotation.
  const context = config.count('max_trained_positions') ?? config.requiredCount('n_positions');
  set('block_count', ggufValue.uint32(layers));
  set('context_length', ggufValue.uint32(context));
  set('embedding_length', ggufValue.uint32(embedding));
  set('feed_forward_length', ggufValue.uint32(config.count('n_inner') ?? 4 * embedding));
  set('attention.head_count', ggufValue.uint32(heads));
  const epsilon = config.number('layer_norm_epsilon') ?? 1e-12;
  set('attention.layer_norm_epsilon', ggufValue.float32(epsilon));
  set('attention.causal', ggufValue.boolean(false));
  set('rope.freq_base', ggufValue.float32(config.number('rotary_emb_base') ?? 10_000));
  const types = config.count('type_vocab_size') ?? 2;
  metadata.set('tokenizer.ggml.token_type_count', ggufValue.uint32(types));
  const vocabSize = config.requiredCount('vocab_size');
  return {
    shape: {
      ...{ architecture, layers, heads, kvHeads: heads, experts: 0 },
      ...{ vocabSize, tied: true },
    },
    metadata,
    ropeFactors: undefined,
  };
}

const outer: ReadonlyMap<string, string> = new Map([
  ['embeddings.word_embeddings', 'token_embd'],
  ['embeddings.token_type_embeddings', 'token_types'],
  ['emb_ln', 'token_embd_norm'],
]);

const inLayer: ReadonlyMap<string, string> = new Map([
  ['attn.Wqkv', 'attn_qkv'],
  ['attn.out_proj', 'attn_output'],
  ['norm1', 'attn_output_norm'],
  // Of models with experts, which have no gates.
  ['mlp.fc1', 'ffn_up'],
  ['mlp.router.layer', 'ffn_gate_inp'],
  // The second of the two is activated.
  ['mlp.fc11', 'ffn_up'],
  ['mlp.fc12', 'ffn_gate'],
  ['mlp.fc2', 'ffn_down'],
  ['norm2', 'layer_output_norm'],
]);

/** GGUF's name of a tensor; undefined: it is not known. */
export function nomicTensorName(given: string): string | undefined {
  return layeredName(given.replace(/^bert\./, ''), { layers: 'encoder.layers', outer, inLayer });
}
