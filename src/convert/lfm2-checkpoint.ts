/**
 * Checkpoints of LFM2 (`Lfm2ForCausalLM`, arXiv 2511.23404): hyperparameters and names of tensors. Layers
 * are short convolutions but for those that the config calls attention. Keys and names are those of
 * llama.cpp's converter.
 */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters } from './checkpoint-shape.js';
import { lfm2Architecture } from './classes.js';
import type { JsonObject } from './json.js';
import { layeredName } from './layered-names.js';
import type { SafetensorsTensor } from './safetensors.js';

/** @throws {PacelineError} `broken-file`, `unsupported-architecture`. */
export function readLfm2Hyperparameters(config: JsonObject): CheckpointHyperparameters {
  return lfm2Common(config, { architecture: lfm2Architecture, inner: networkLength(config) });
}

/**
 * What LFM2 has with experts and without.
 * @param of `inner` is the width of a network.
 * @throws {PacelineError} `broken-file`, `unsupported-architecture`.
 */
export function lfm2Common(
  config: JsonObject,
  of: { readonly architecture: string; readonly inner: number },
): CheckpointHyperparameters {
  const { architecture, inner } = of;
  if (config.boolean('conv_bias') === true) {
    throw new PacelineError('unsupported-architecture', 'LFM2 with conv_bias is not supported');
  }
  const layers = config.requiredCount('num_hidden_layers');
  const heads = config.requiredCount('num_attention_heads');
  const kvHeads = config.count('num_key_value_heads') ?? heads;
  const vocabSize = config.requiredCount('vocab_size');
  const sees = attentionLayers(config, layers);
  const metadata = new Map<string, GgufMetadataEntry>();
  const set = (key: string, entry: GgufMetadataEntry) =>
    metadata.set(`${architecture}.${key}`, entry);
  set('vocab_size', ggufValue.uint32(vocabSize));
  set('block_count', ggufValue.uint32(layers));
  set('context_length', ggufValue.uint32(config.requiredCount('max_position_embeddings')));
  set('embedding_length', ggufValue.uint32(config.requiredCount('hidden_size')));
  set('feed_forward_length', ggufValue.uint32(inner));
  set('attention.head_count', ggufValue.uint32(heads));
  const perLayer = sees.map((attends) => (attends ? kvHeads : 0));
  set('attention.head_count_kv', ggufValue.numbers('int32', perLayer));
  const head = config.count('head_dim');
  if (head !== undefined) {
    set('attention.key_length', ggufValue.uint32(head));
    set('attention.value_length', ggufValue.uint32(head));
  }
  set('attention.layer_norm_rms_epsilon', ggufValue.float32(config.number('norm_eps') ?? 1e-5));
  set('shortconv.l_cache', ggufValue.uint32(config.requiredCount('conv_L_cache')));
  const rope = config.object('rope_parameters');
  const kind = (rope ?? config.object('rope_scaling'))?.string('rope_type') ?? 'default';
  if (kind !== 'default') {
    throw new PacelineError(
      'unsupported-architecture',
      `LFM2 with rotary positions of type "${kind}" is not supported`,
    );
  }
  const base = rope?.number('rope_theta') ?? config.number('rope_theta') ?? 1e6;
  set('rope.freq_base', ggufValue.float32(base));
  const tied = config.boolean('tie_embedding') ?? config.boolean('tie_word_embeddings') ?? true;
  return {
    shape: { architecture, layers, heads, kvHeads, experts: 0, vocabSize, tied },
    metadata,
    ropeFactors: undefined,
  };
}

/** Which layers are attention: by their kinds, or by their numbers in older configs. */
function attentionLayers(config: JsonObject, layers: number): readonly boolean[] {
  const kinds = config.list('layer_types');
  const numbers = config.list('full_attn_idxs');
  if (kinds === undefined && numbers === undefined) {
    throw config.wrong('layer_types', 'is missing');
  }
  if (kinds === undefined) {
    return Array.from({ length: layers }, (_, layer) => numbers?.includes(layer) === true);
  }
  const known = kinds.every((kind) => kind === 'full_attention' || kind === 'conv');
  if (!known || kinds.length !== layers) {
    throw config.wrong('layer_types', `does not say conv or full_attention of ${layers} layers`);
  }
  return kinds.map((kind) => kind === 'full_attention');
}

/** Rows of a network: two thirds of what the config says, in multiples, where it asks for that. */
function networkLength(config: JsonObject): number {
  const given = config.count('block_ff_dim') ?? config.requiredCount('intermediate_size');
  if ((config.boolean('block_auto_adjust_ff_dim') ?? true) === false) return given;
  const shrunk = Math.trunc((2 * given) / 3);
  const scaled = Math.trunc(shrunk * (config.number('block_ffn_dim_multiplier') ?? 1));
  const multiple = config.count('block_multiple_of') ?? 256;
  return multiple * Math.ceil(scaled / multiple);
}

const outer: ReadonlyMap<string, string> = new Map([
  ['model.embed_tokens', 'token_embd'],
  // The norm before the head, which llama.cpp calls by its checkpoint's name.
  ['model.embedding_norm', 'token_embd_norm'],
  ['lm_head', 'output'],
]);

const inLayer: ReadonlyMap<string, string> = new Map([
  ['operator_norm', 'attn_norm'],
  ['ffn_norm', 'ffn_norm'],
  ['conv.in_proj', 'shortconv.in_proj'],
  ['conv.conv', 'shortconv.conv'],
  ['conv.out_proj', 'shortconv.out_proj'],
  ['self_attn.q_proj', 'attn_q'],
  ['self_attn.k_proj', 'attn_k'],
  ['self_attn.v_proj', 'attn_v'],
  ['self_attn.out_proj', 'attn_output'],
  ['self_attn.q_layernorm', 'attn_q_norm'],
  ['self_attn.k_layernorm', 'attn_k_norm'],
  ['feed_forward.gate', 'ffn_gate_inp'],
  ['feed_forward.w1', 'ffn_gate'],
  ['feed_forward.w3', 'ffn_up'],
  ['feed_forward.w2', 'ffn_down'],
]);

/** The kernel of a convolution of each channel by itself, [channels, 1, kernel], as a matrix. */
export function depthwise(tensor: SafetensorsTensor): SafetensorsTensor {
  const [channels = 0, one, kernel = 0] = tensor.shape;
  return tensor.shape.length === 3 && one === 1 ? { ...tensor, shape: [channels, kernel] } : tensor;
}

/** GGUF's name of a tensor; undefined: it is not known. */
export function lfm2TensorName(given: string): string | undefined {
  if (!given.endsWith('.weight')) return undefined;
  return layeredName(given, { layers: 'model.layers', outer, inLayer });
}
