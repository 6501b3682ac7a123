/**
 * Checkpoints of DeepSeek V2, V3, R1 and their kin (`DeepseekV2ForCausalLM`, `DeepseekV3ForCausalLM`,
 * `Glm4MoeLiteForCausalLM`, arXiv 2405.04434, 2412.19437). The matrix that makes all heads' keys and values of a latent row becomes one for each head and
 * kind, that of the keys turned round, since the engine applies it to queries. Keys and names are those of
 * llama.cpp's converter, which leaves out blocks of multi-token prediction too.
 */
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters } from './checkpoint-shape.js';
import { glmFlashClass } from './classes.js';
import {
  type DecoderConfig,
  gatings,
  readDecoderConfig,
  refuseConfig,
  requireValues,
  ropeOf,
} from './decoder-metadata.js';
import { countDraftBlocks, planDecoder, type Special } from './decoder-tensors.js';
import { rowsOf, transposed } from './derived-tensors.js';
import { matrixStack } from './expert-stacks.js';
import type { JsonObject } from './json.js';
import { wrongShape } from './planned-tensors.js';
import type { SafetensorsTensor } from './safetensors.js';
import { sparseEntries } from './sparse-metadata.js';

const secondVersion = 'DeepseekV2ForCausalLM';

/** Of a head: elements of its keys that are not rotated, and its values. */
interface HeadLengths {
  readonly heads: number;
  readonly plain: number;
  readonly value: number;
}

/** @throws {PacelineError} `broken-file`, `unsupported-architecture`. */
export function readDeepSeek2Hyperparameters(
  config: JsonObject,
  architecture: string,
): CheckpointHyperparameters {
  const read = readDecoderConfig(config, architecture);
  const { text, set, metadata, ropeFactors, layers, heads } = read;
  requireValues(read, { hidden_act: 'silu', moe_layer_freq: 1 });
  const whole = (key: string, value: number) => set(key, ggufValue.uint32(value));
  const latent = text.count('kv_lora_rank') ?? 512;
  const rotated = text.requiredCount('qk_rope_head_dim');
  const plain = text.requiredCount('qk_nope_head_dim');
  const value = text.requiredCount('v_head_dim');
  whole('vocab_size', read.vocabSize);
  // All heads share one row of keys, whose latent end also is the values.
  whole('attention.head_count_kv', 1);
  const queryRank = text.count('q_lora_rank');
  if (queryRank !== undefined) whole('attention.q_lora_rank', queryRank);
  whole('attention.kv_lora_rank', latent);
  whole('attention.key_length', latent + rotated);
  whole('attention.value_length', latent);
  whole('attention.key_length_mla', plain + rotated);
  whole('attention.value_length_mla', value);
  whole('rope.dimension_count', rotated);
  setMagnitude(read);
  const name = config.list('architectures')?.[0];
  // DeepSeek V3 with another tokenizer, whose blocks for drafts are kept.
  const flash = name === glmFlashClass;
  const entries = name === secondVersion ? softmaxEntries(read) : sigmoidEntries(read);
  for (const [key, entry] of entries) set(key, entry);
  if (flash) whole('leading_dense_block_count', denseLayers(read));
  return {
    shape: { ...read, kvHeads: 1 },
    metadata,
    ropeFactors,
    plan(tensors) {
      const drafting = flash ? countDraftBlocks(tensors, read) : 0;
      const kept = flash ? tensors : withoutDraftBlocks(tensors, read);
      const special = (part: string, block: string, tensor: SafetensorsTensor) =>
        latentMatrices(part, block, tensor, { heads, plain, value });
      const layout = { names, blocks: layers + drafting, special };
      return { planned: planDecoder(kept, read, layout), drafting };
    },
  };
}

/** DeepSeek V2: a softmax over all experts, whose weights do not add up to 1. */
function softmaxEntries(read: DecoderConfig) {
  const { text } = read;
  requireValues(read, { scoring_func: 'softmax', norm_topk_prob: false });
  const method = text.string('topk_method') ?? 'greedy';
  // A group counts by its best expert there, by its two best everywhere else.
  if (method !== 'greedy' && (text.whole('n_group') ?? 1) > 1) {
    refuseConfig(`DeepSeek V2 that chooses experts by ${method}`, read);
  }
  const grouped = method !== 'greedy' || (text.whole('n_group') ?? 1) <= 1;
  const entries = sparseEntries(text, { gating: gatings.softmax, normalises: false, grouped });
  // Said only where it is so.
  entries.delete('expert_weights_norm');
  return entries;
}

/** DeepSeek V3: each expert by itself, groups by their two best, weights that add up to the scale. */
function sigmoidEntries(read: DecoderConfig) {
  requireValues(read, { scoring_func: 'sigmoid', topk_method: 'noaux_tc', rope_interleave: true });
  return sparseEntries(read.text, { gating: gatings.sigmoid, normalises: true, scale: 2.5 });
}

/** How many layers at the beginning have no experts, as GLM's configs say it. */
function denseLayers({ text, layers }: DecoderConfig): number {
  const kinds = text.list('mlp_layer_types');
  if (kinds === undefined) return text.whole('first_k_dense_replace') ?? 1;
  const dense = kinds.filter((kind) => kind === 'dense').length;
  const known = kinds.every((kind, layer) => kind === (layer < dense ? 'dense' : 'sparse'));
  if (known && kinds.length === layers) return dense;
  throw text.wrong('mlp_layer_types', 'is not made of dense layers before sparse ones');
}

/** How far scores grow with YaRN's factor; files have a tenth of it. */
function setMagnitude(read: DecoderConfig): void {
  const rope = ropeOf(read.text);
  const type = rope?.string('rope_type') ?? rope?.string('type') ?? 'default';
  if (rope === undefined || type === 'default') return;
  if (type !== 'yarn') refuseConfig(`DeepSeek with rotary positions of type "${type}"`, read);
  const [one, all] = [rope.number('mscale'), rope.number('mscale_all_dim')];
  if (one === undefined || one !== all) {
    refuseConfig(
      `YaRN with mscale ${one ?? 'unset'} beside mscale_all_dim ${all ?? 'unset'}`,
      read,
    );
  }
  read.set('rope.scaling.yarn_log_multiplier', ggufValue.float32(0.1 * one));
}

function withoutDraftBlocks(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  { text, layers }: DecoderConfig,
): ReadonlyMap<string, SafetensorsTensor> {
  const drafting = text.whole('num_nextn_predict_layers') ?? text.whole('num_mtp_layers') ?? 0;
  const isDraft = (name: string): boolean => {
    const layer = Number(/^model\.layers\.(\d+)\./.exec(name)?.[1] ?? -1);
    return layer >= layers && layer < layers + drafting;
  };
  return new Map([...tensors].filter(([name]) => !isDraft(name)));
}

const names: ReadonlyMap<string, string> = new Map([
  ['post_attention_layernorm', 'ffn_norm'],
  ['self_attn.q_a_proj', 'attn_q_a'],
  ['self_attn.q_a_layernorm', 'attn_q_a_norm'],
  ['self_attn.q_b_proj', 'attn_q_b'],
  ['self_attn.kv_a_proj_with_mqa', 'attn_kv_a_mqa'],
  ['self_attn.kv_a_layernorm', 'attn_kv_a_norm'],
]);

/** [heads * (plain + value), latent] as [heads, latent, plain] and [heads, value, latent]. */
function latentMatrices(
  part: string,
  block: string,
  tensor: SafetensorsTensor,
  { heads, plain, value }: HeadLengths,
): Special {
  if (part !== 'self_attn.kv_b_proj.weight') return undefined;
  const [rows = 0, latent = 0] = tensor.shape;
  if (rows !== heads * (plain + value)) throw wrongShape(tensor.name, tensor);
  const rowsIn = (length: number, before: number) =>
    rowsOf(
      tensor,
      [heads, length, latent],
      (row) => Math.floor(row / length) * (plain + value) + before + (row % length),
    );
  return [
    matrixStack(`${block}.attn_k_b.weight`, transposed(rowsIn(plain, 0))),
    matrixStack(`${block}.attn_v_b.weight`, rowsIn(value, plain)),
  ];
}
