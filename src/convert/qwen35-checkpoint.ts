/**
 * Checkpoints of Qwen3.5 and 3.6 (`Qwen3_5*`, `Qwen3_5Moe*`), with or without the parts that see pictures, which are
 * left out. Heads of values stand by their head of keys, where GGUF has one of each head of keys after the
 * other. Keys and names are those of llama.cpp's converter.
 */
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters } from './checkpoint-shape.js';
import {
  type DecoderConfig,
  readDecoderConfig,
  refuseConfig,
  requireValues,
  ropeOf,
  rotatedOf,
} from './decoder-metadata.js';
import { planDecoder, type Special } from './decoder-tensors.js';
import { columnsOf, rowsOf, valuesOf } from './derived-tensors.js';
import type { JsonObject } from './json.js';
import { plain } from './planned-tensors.js';
import type { SafetensorsTensor } from './safetensors.js';

/** Of time, height and width, for configs that do not say it. */
const usualSections = [11, 11, 10];
const usualInterval = 4;
const usualRotation = 0.25;

/** Heads of a layer of linear attention. */
interface LinearHeads {
  readonly keys: number;
  readonly values: number;
  /** Elements of each. */
  readonly length: number;
}

/** @throws {PacelineError} `broken-file`, `unsupported-architecture`. */
export function readQwen35Hyperparameters(
  config: JsonObject,
  architecture: string,
): CheckpointHyperparameters {
  const read = readDecoderConfig(config, architecture);
  const { text, set, metadata, ropeFactors, layers } = read;
  requireValues(read, { hidden_act: 'silu' });
  const heads = readLinearHeads(read);
  const whole = (key: string, value: number | undefined) => {
    if (value !== undefined) set(key, ggufValue.uint32(value));
  };
  if (architecture === 'qwen35moe') {
    whole('expert_feed_forward_length', text.requiredCount('moe_intermediate_size'));
    const shared = text.requiredCount('shared_expert_intermediate_size');
    whole('expert_shared_feed_forward_length', shared);
  }
  whole('ssm.conv_kernel', text.requiredCount('linear_conv_kernel_dim'));
  whole('ssm.state_size', heads.length);
  whole('ssm.group_count', heads.keys);
  whole('ssm.time_step_rank', heads.values);
  whole('ssm.inner_size', heads.length * heads.values);
  whole('full_attention_interval', text.count('full_attention_interval') ?? usualInterval);
  whole('rope.dimension_count', rotatedOf(read, usualRotation));
  const sections = ropeOf(text)?.list('mrope_section') ?? usualSections;
  set('rope.dimension_sections', ggufValue.numbers('int32', padded(read, sections)));
  return {
    shape: read,
    metadata,
    ropeFactors,
    plan(tensors) {
      const { renamed, drafting } = withDraftBlocks(tensors, layers);
      const special = (part: string, block: string, tensor: SafetensorsTensor) =>
        linearAttention(part, block, tensor, heads);
      const layout = { names, blocks: layers + drafting, special, normShift: 1 };
      return {
        planned: planDecoder(renamed, read, layout),
        drafting,
        metadata: kinds(read, drafting),
      };
    },
  };
}

function readLinearHeads(read: DecoderConfig): LinearHeads {
  const { text } = read;
  const keys = text.requiredCount('linear_num_key_heads');
  const values = text.requiredCount('linear_num_value_heads');
  const length = text.requiredCount('linear_key_head_dim');
  if (text.requiredCount('linear_value_head_dim') !== length) {
    refuseConfig('Qwen3.5 whose keys and values have heads of other lengths', read);
  }
  if (values % keys !== 0) throw text.wrong('linear_num_value_heads', `is no multiple of ${keys}`);
  return { keys, values, length };
}

function padded({ text }: DecoderConfig, sections: readonly unknown[]): number[] {
  const four = [...sections, 0, 0, 0, 0].slice(0, 4);
  if (four.every((n) => Number.isSafeInteger(n) && (n as number) >= 0)) return four as number[];
  throw text.wrong('mrope_section', 'is not made of whole numbers');
}

/** Which blocks are linear attention, where the config lists it; those for drafts are not. */
function kinds({ architecture, text, layers }: DecoderConfig, drafting: number) {
  const listed = text.list('layer_types');
  if (listed === undefined) return new Map();
  const known = ['linear_attention', 'full_attention'];
  if (listed.length !== layers || !listed.every((kind) => known.includes(String(kind)))) {
    throw text.wrong('layer_types', `does not say ${known.join(' or ')} of ${layers} layers`);
  }
  const recurrent = listed.map((kind) => kind === 'linear_attention');
  const all = [...recurrent, ...Array<boolean>(drafting).fill(false)];
  return new Map([[`${architecture}.attention.recurrent_layers`, ggufValue.booleans(all)]]);
}

/** What stands around the layers of multi-token prediction, by the names that others have. */
const draftNames: Readonly<Record<string, string>> = {
  fc: 'eh_proj',
  pre_fc_norm_embedding: 'enorm',
  pre_fc_norm_hidden: 'hnorm',
  norm: 'shared_head.norm',
};

/** The tensors `mtp.*` as layers behind the others. */
function withDraftBlocks(tensors: ReadonlyMap<string, SafetensorsTensor>, layers: number) {
  const renamed = new Map<string, SafetensorsTensor>();
  let drafting = 0;
  for (const [name, tensor] of tensors) {
    const [, layer, part] = /^(?:model\.)?mtp\.layers\.(\d{1,2})\.(.+)$/.exec(name) ?? [];
    const [, outer = '', kind] = /^(?:model\.)?mtp\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
    const known = Object.hasOwn(draftNames, outer) ? draftNames[outer] : undefined;
    const at = layers + Number(layer ?? 0);
    if (layer !== undefined) renamed.set(`model.layers.${at}.${part}`, tensor);
    else if (known !== undefined) renamed.set(`model.layers.${at}.${known}.${kind}`, tensor);
    else renamed.set(name, tensor);
    if (layer !== undefined || known !== undefined) drafting = Math.max(drafting, at - layers + 1);
  }
  return { renamed, drafting };
}

const names: ReadonlyMap<string, string> = new Map([
  ['post_attention_layernorm', 'post_attention_norm'],
  ['mlp.shared_expert.gate_proj', 'ffn_gate_shexp'],
  ['mlp.shared_expert.up_proj', 'ffn_up_shexp'],
  ['mlp.shared_expert.down_proj', 'ffn_down_shexp'],
  ['mlp.shared_expert_gate', 'ffn_gate_inp_shexp'],
]);

/** Tensors of linear attention, the heads of values in GGUF's order. */
function linearAttention(
  part: string,
  block: string,
  tensor: SafetensorsTensor,
  { keys, values, length }: LinearHeads,
): Special {
  const group = values / keys;
  /** The place in the checkpoint of what is at `place`, of heads of `size` behind `before` others. */
  const from = (place: number, size: number, before = 0): number => {
    if (place < before) return place;
    const head = Math.floor((place - before) / size);
    const old = (head % keys) * group + Math.floor(head / keys);
    return before + old * size + ((place - before) % size);
  };
  const rows = (name: string, size: number, before = 0) => [
    plain(
      `${block}.${name}`,
      rowsOf(tensor, tensor.shape, (row) => from(row, size, before)),
    ),
  ];
  const columns = (size: number) => {
    const width = tensor.shape.at(-1) ?? 1;
    return columnsOf(tensor, width, (column) => from(column, size));
  };
  const queriesAndKeys = 2 * keys * length;
  switch (part) {
    case 'linear_attn.in_proj_qkv.weight':
      return rows('attn_qkv.weight', length, queriesAndKeys);
    case 'linear_attn.in_proj_z.weight':
      return rows('attn_gate.weight', length);
    case 'linear_attn.in_proj_b.weight':
      return rows('ssm_beta.weight', 1);
    case 'linear_attn.in_proj_a.weight':
      return rows('ssm_alpha.weight', 1);
    case 'linear_attn.conv1d.weight': {
      const [channels = 0, , kernel = 0] = tensor.shape;
      const order = (row: number) => from(row, length, queriesAndKeys);
      return [plain(`${block}.ssm_conv1d.weight`, rowsOf(tensor, [channels, kernel], order))];
    }
    case 'linear_attn.dt_bias':
      return [plain(`${block}.ssm_dt.bias`, columns(1))];
    case 'linear_attn.A_log':
      return [
        plain(
          `${block}.ssm_a`,
          valuesOf(columns(1), (value) => -Math.exp(value)),
        ),
      ];
    case 'linear_attn.norm.weight':
      return [plain(`${block}.ssm_norm.weight`, tensor)];
    case 'linear_attn.out_proj.weight':
      return [plain(`${block}.ssm_out.weight`, columns(length))];
    default:
      return undefined;
  }
}
