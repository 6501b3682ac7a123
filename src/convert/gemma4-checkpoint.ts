/**
 * Checkpoints of Gemma 4 (`Gemma4ForCausalLM`, and the text model of `Gemma4ForConditionalGeneration`): layers with
 * heads of two sizes, embeddings of each layer (E2B, E4B), keys that layers share, experts beside the network
 * (26B-A4B). Norms have no 1 to add, other than Gemma 3's. Keys and names are those of llama.cpp's converter.
 */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters, CheckpointShape } from './checkpoint-shape.js';
import { gemma4Architecture } from './classes.js';
import { matrixStack } from './expert-stacks.js';
import { JsonObject } from './json.js';
import { decoderLayerNames, layeredName } from './layered-names.js';
import { type PlannedTensor, plain, unknown } from './planned-tensors.js';
import type { SafetensorsTensor } from './safetensors.js';

/** @throws {PacelineError} `broken-file`, `unsupported-architecture`. */
export function readGemma4Hyperparameters(config: JsonObject): CheckpointHyperparameters {
  const text = config.object('text_config') ?? config;
  refuseOddities(text);
  const layers = text.requiredCount('num_hidden_layers');
  const heads = text.requiredCount('num_attention_heads');
  const kvHeads = text.requiredCount('num_key_value_heads');
  const experts = text.boolean('enable_moe_block') === true ? text.requiredCount('num_experts') : 0;
  const vocabSize = text.requiredCount('vocab_size');
  const slides = windowLayers(text, layers);
  const full = fullLayer(text, slides);
  const metadata = new Map<string, GgufMetadataEntry>();
  const set = (key: string, entry: GgufMetadataEntry) =>
    metadata.set(`${gemma4Architecture}.${key}`, entry);
  const count = (key: string, value: number) => set(key, ggufValue.uint32(value));
  count('block_count', layers);
  count('context_length', text.count('max_position_embeddings') ?? 131_072);
  count('embedding_length', text.requiredCount('hidden_size'));
  count('attention.head_count', heads);
  const shared = text.number('num_kv_shared_layers') ?? 0;
  const inner = text.requiredCount('intermediate_size');
  const wide = text.boolean('use_double_wide_mlp') === true;
  const inners = slides.map((_, layer) => (wide && layer >= layers - shared ? 2 * inner : inner));
  if (wide) set('feed_forward_length', ggufValue.numbers('int32', inners));
  else count('feed_forward_length', inner);
  const perLayer = slides.map((slide) => (slide ? kvHeads : full.kvHeads));
  if (full.kvHeads === kvHeads) count('attention.head_count_kv', kvHeads);
  else set('attention.head_count_kv', ggufValue.numbers('int32', perLayer));
  set('attention.layer_norm_rms_epsilon', ggufValue.float32(text.number('rms_norm_eps') ?? 1e-6));
  const windowHead = text.count('head_dim') ?? 256;
  count('attention.key_length', full.head);
  count('attention.value_length', full.head);
  count('attention.key_length_swa', windowHead);
  count('attention.value_length_swa', windowHead);
  count('attention.sliding_window', text.count('sliding_window') ?? 512);
  set('attention.sliding_window_pattern', ggufValue.booleans(slides));
  count('attention.shared_kv_layers', shared);
  count('embedding_length_per_layer_input', text.number('hidden_size_per_layer_input') ?? 0);
  if (experts > 0) {
    count('expert_count', experts);
    count('expert_used_count', text.requiredCount('top_k_experts'));
    count('expert_feed_forward_length', text.requiredCount('moe_intermediate_size'));
  }
  // Readers take a missing one for 30.
  set('final_logit_softcapping', ggufValue.float32(text.number('final_logit_softcapping') ?? 0));
  const rope = readRope(text);
  set('rope.freq_base', ggufValue.float32(rope.base));
  set('rope.freq_base_swa', ggufValue.float32(rope.windowBase));
  count('rope.dimension_count', full.head);
  count('rope.dimension_count_swa', windowHead);
  const tied = text.boolean('tie_word_embeddings') ?? config.boolean('tie_word_embeddings') ?? true;
  const shape = {
    architecture: gemma4Architecture,
    layers,
    heads,
    kvHeads,
    experts,
    vocabSize,
    tied,
  };
  return {
    ...{ shape, metadata },
    ropeFactors: new Map([['rope_freqs.weight', divisors(full.head, rope.part)]]),
    plan: (tensors) => ({ planned: planTensors(tensors, shape) }),
  };
}

function refuse(what: string): never {
  throw new PacelineError('unsupported-architecture', `Gemma 4 with ${what} is not supported`);
}

function refuseOddities(text: JsonObject): void {
  if (text.boolean('attention_bias') === true) refuse('biases of attention');
  if (text.get('use_bidirectional_attention') === 'all') refuse('attention in both directions');
  const activation = text.string('hidden_activation') ?? 'gelu_pytorch_tanh';
  if (activation !== 'gelu_pytorch_tanh') refuse(`the activation ${activation}`);
}

/** Which layers have a window: where nothing is said all but each sixth. The last one never has. */
function windowLayers(text: JsonObject, layers: number): boolean[] {
  const kinds = text.list('layer_types');
  const known = ['full_attention', 'sliding_attention'];
  if (
    kinds &&
    (kinds.length !== layers || !kinds.every((kind) => known.includes(kind as string)))
  ) {
    throw text.wrong('layer_types', `does not say ${known.join(' or ')} of ${layers} layers`);
  }
  return Array.from({ length: layers }, (_, layer) => {
    if (layer === layers - 1) return false;
    return kinds ? kinds[layer] === 'sliding_attention' : (layer + 1) % 6 !== 0;
  });
}

/** Heads of the layers that see everything: as values for all of them, or of each as newer configs have it. */
function fullLayer(
  text: JsonObject,
  slides: readonly boolean[],
): { head: number; kvHeads: number } {
  const kvHeads = text.requiredCount('num_key_value_heads');
  const perLayer = text.object('per_layer_config');
  if (perLayer === undefined) {
    const own = text.boolean('attention_k_eq_v') === true;
    const told = own ? text.count('num_global_key_value_heads') : undefined;
    return { head: text.count('global_head_dim') ?? 512, kvHeads: told ?? kvHeads };
  }
  const all = slides.flatMap((slide, layer) => {
    const own = perLayer.object(String(layer)) ?? new JsonObject('per_layer_config', {});
    if (slide && Object.keys(own.values).length > 0) refuse('windows of several kinds');
    if (slide) return [];
    const head = own.count('head_dim') ?? text.requiredCount('head_dim');
    return [{ head, kvHeads: own.count('num_key_value_heads') ?? kvHeads }];
  });
  const [first] = all as [(typeof all)[number]];
  const same = all.every((one) => one.head === first.head && one.kvHeads === first.kvHeads);
  if (!same) refuse('full attention of several kinds');
  return first;
}

/** The bases of both kinds of layers, and the part of a head that turns in those that see everything. */
function readRope(text: JsonObject): { base: number; windowBase: number; part: number } {
  const given = text.object('rope_parameters');
  const full = given?.object('full_attention');
  const local = given?.object('sliding_attention');
  const kinds = [
    full?.string('rope_type') ?? 'proportional',
    local?.string('rope_type') ?? 'default',
  ];
  if (kinds.join() !== 'proportional,default')
    refuse(`rotary positions of types ${kinds.join(' and ')}`);
  const factor = full?.number('factor') ?? 1;
  if (factor !== 1) refuse(`positions divided by ${factor}`);
  return {
    base: full?.number('rope_theta') ?? 1e6,
    windowBase: local?.number('rope_theta') ?? 10_000,
    // Left out of a config that has the kind, a head turns as a whole.
    part: full ? (full.number('partial_rotary_factor') ?? 1) : 0.25,
  };
}

/** What frequencies of a head are divided by: those of the part that does not turn by so much that none is left. */
function divisors(head: number, part: number): Float32Array {
  const turned = Math.floor((head * part) / 2);
  return Float32Array.from({ length: head / 2 }, (_, pair) => (pair < turned ? 1 : 1e30));
}

const outer: ReadonlyMap<string, string> = new Map([
  ['embed_tokens', 'token_embd'],
  ['norm', 'output_norm'],
  ['lm_head', 'output'],
  ['embed_tokens_per_layer', 'per_layer_token_embd'],
  ['per_layer_model_projection', 'per_layer_model_proj'],
  ['per_layer_projection_norm', 'per_layer_proj_norm'],
]);

const inLayer: ReadonlyMap<string, string> = new Map([
  ...decoderLayerNames,
  ['post_attention_layernorm', 'post_attention_norm'],
  ['pre_feedforward_layernorm', 'ffn_norm'],
  ['pre_feedforward_layernorm_2', 'pre_ffw_norm_2'],
  ['post_feedforward_layernorm', 'post_ffw_norm'],
  ['post_feedforward_layernorm_1', 'post_ffw_norm_1'],
  ['post_feedforward_layernorm_2', 'post_ffw_norm_2'],
  ['router.proj', 'ffn_gate_inp'],
  ['per_layer_input_gate', 'inp_gate'],
  ['per_layer_projection', 'proj'],
  ['post_per_layer_input_norm', 'post_norm'],
]);

/** Names that are whole in the checkpoint, and in GGUF. */
const bare: ReadonlyMap<string, string> = new Map([
  ['layer_scalar', 'layer_output_scale.weight'],
  ['router.scale', 'ffn_gate_inp.scale'],
  ['router.per_expert_scale', 'ffn_down_exps.scale'],
  ['experts.gate_up_proj', 'ffn_gate_up_exps.weight'],
  ['experts.down_proj', 'ffn_down_exps.weight'],
]);

/** What sees and hears. */
const left =
  /^(model\.)?(vision_tower|embed_vision|audio_tower|embed_audio|multi_modal_projector)\./;

function planTensors(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  shape: CheckpointShape,
): PlannedTensor[] {
  return [...tensors].flatMap(([given, tensor]) => {
    if (left.test(given)) return [];
    const name = given.replace(/^(model\.)?(language_model\.)?(model\.)?/, '');
    const [, layer, part = ''] = /^layers\.(\d+)\.(.+)$/.exec(name) ?? [];
    const whole = bare.get(part);
    const found = whole
      ? `blk.${layer}.${whole}`
      : layeredName(name, { layers: 'layers', outer, inLayer });
    if (found === undefined || Number(layer ?? 0) >= shape.layers) throw unknown(given, shape);
    if (found === 'output.weight' && shape.tied) return [];
    return [tensor.shape.length === 3 ? matrixStack(found, tensor) : plain(found, tensor)];
  });
}
