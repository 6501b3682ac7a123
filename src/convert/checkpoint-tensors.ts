/**
 * From a checkpoint's tensors to GGUF's: other names, extents in ggml's order, the experts of a layer
 * as one stack, rows of q and k in the order that llama's rotation of neighbouring pairs needs, and
 * Gemma's norms with the 1 that its code adds. Nothing is read here; what a tensor is made of is
 * described, so that it can be read slab by slab.
 */
import { PacelineError } from '../base/errors.js';
import { bertTensorName } from './bert-checkpoint.js';
import type { CheckpointShape } from './checkpoint-shape.js';
import { bertArchitecture, lfm2Architecture, nomicArchitecture } from './classes.js';
import { denseTensor } from './embedding-gemma-checkpoint.js';
import { ExpertStacks, fusedExperts } from './expert-stacks.js';
import { decoderLayerNames } from './layered-names.js';
import { depthwise, lfm2TensorName } from './lfm2-checkpoint.js';
import { nomicTensorName } from './nomic-checkpoint.js';
import {
  type MatrixSource,
  type PlannedTensor,
  plain,
  unknown,
  wrongShape,
} from './planned-tensors.js';
import type { SafetensorsTensor } from './safetensors.js';
import { layerIn } from './tensor-names.js';

const layerNames: ReadonlyMap<string, string> = new Map([
  ...decoderLayerNames,
  ['mlp.gate', 'ffn_gate_inp'],
  ['block_sparse_moe.gate', 'ffn_gate_inp'],
  ['pre_attention_layernorm', 'attn_norm'],
  ['pre_feedforward_layernorm', 'ffn_norm'],
  ['post_feedforward_layernorm', 'post_ffw_norm'],
]);

/** Names that only one architecture has. */
const namesOf: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map([
  // In one matrix each, as GGUF has them.
  [
    'phi3',
    new Map([
      ['self_attn.qkv_proj', 'attn_qkv'],
      ['mlp.gate_up_proj', 'ffn_up'],
    ]),
  ],
  [
    'hunyuan-dense',
    new Map([
      ['self_attn.query_layernorm', 'attn_q_norm'],
      ['self_attn.key_layernorm', 'attn_k_norm'],
    ]),
  ],
]);

/** What an expert's matrix is called, in the layouts that there are. */
const expertNames: ReadonlyMap<string, string> = new Map([
  ...(['gate_proj', 'w1'] as const).map((name) => [name, 'ffn_gate_exps'] as const),
  ...(['up_proj', 'w3'] as const).map((name) => [name, 'ffn_up_exps'] as const),
  ...(['down_proj', 'w2'] as const).map((name) => [name, 'ffn_down_exps'] as const),
]);

/** Names of tensors of architectures that have none of llama's: null is left behind. */
const ownNames: ReadonlyMap<
  string,
  (given: string, shape: CheckpointShape) => string | null | undefined
> = new Map([
  [bertArchitecture, bertTensorName],
  [lfm2Architecture, lfm2TensorName],
  [nomicArchitecture, nomicTensorName],
]);

/** Parts of checkpoints that a text model does not need. */
const left = /^(model\.)?(vision_tower|multi_modal_projector|vision_model)\.|rotary_emb\.inv_freq$/;

/**
 * Plans all tensors of a checkpoint.
 * @throws {PacelineError} `unsupported-architecture` for a tensor that has no place in the model,
 *   `missing-tensor` for a missing expert, `wrong-shape`.
 */
export function planTensors(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  shape: CheckpointShape,
): PlannedTensor[] {
  const planned: PlannedTensor[] = [];
  const stacks = new ExpertStacks((stack) => expertsOf(shape, layerIn(stack)).routed);
  for (const [given, tensor] of tensors) {
    const own = ownNames.get(shape.architecture);
    if (own !== undefined) {
      const name = own(given, shape);
      if (name === undefined) throw unknown(given, shape);
      const leave = name === null || (name === 'output.weight' && shape.tied);
      if (!leave) planned.push(withoutOffset(plain(name, depthwise(tensor)), shape));
      continue;
    }
    if (left.test(given)) continue;
    if (denseTensor.test(given)) {
      planned.push(plain(given, tensor));
      continue;
    }
    const name = given
      .replace(/^(model\.)?language_model\.(model\.)?/, 'model.')
      // Of a model without a head.
      .replace(/^(embed_tokens|norm|layers)\./, 'model.$1.');
    if (/(^|\.)lm_head\.weight$/.test(name)) {
      if (!shape.tied) planned.push(plain('output.weight', tensor));
      continue;
    }
    const expert =
      /^model\.layers\.(\d+)\.(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)\.weight$/.exec(name);
    const kind = expert && expertNames.get(expert[3] as string);
    if (expert && kind !== undefined) {
      const stack = `blk.${expert[1]}.${kind}.weight`;
      const index = Number(expert[2]);
      const { routed, shared } = expertsOf(shape, Number(expert[1]));
      if (index >= routed + shared) throw unknown(given, shape);
      if (index < routed) stacks.add(stack, index, tensor);
      else planned.push(plain(stack.replace('_exps', '_shexp'), tensor));
      continue;
    }
    const fused = /^model\.layers\.(\d+)\.mlp\.experts\.(gate_up_proj|down_proj)$/.exec(name);
    const granite =
      shape.architecture === 'granitemoe' &&
      /^model\.layers\.(\d+)\.block_sparse_moe\.(router\.layer|\w+_linear)\.weight$/.exec(name);
    if (granite) planned.push(...graniteExperts(`blk.${granite[1]}`, granite[2] as string, tensor));
    else if (fused && !shape.emo)
      planned.push(...fusedExperts(`blk.${fused[1]}`, fused[2] as string, tensor));
    else planned.push(named(given, name, tensor, shape));
  }
  return [...planned, ...stacks.planned()];
}

function named(
  given: string,
  name: string,
  tensor: SafetensorsTensor,
  shape: CheckpointShape,
): PlannedTensor {
  const gemma = shape.architecture.startsWith('gemma');
  const shift = gemma && name.endsWith('norm.weight') ? { shift: 1 } : {};
  if (name === 'model.embed_tokens.weight') return plain('token_embd.weight', tensor);
  if (name === 'model.norm.weight') return { ...plain('output_norm.weight', tensor), ...shift };
  const [, layer, part = '', kind] =
    /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? ([] as (string | undefined)[]);
  const after = part === 'post_attention_layernorm';
  // Seed-OSS has it before the network too, and is called so all the same.
  const behind = gemma || ['olmo2', 'seed_oss'].includes(shape.architecture);
  const target = after ? (behind ? 'post_attention_norm' : 'ffn_norm') : nameIn(part, shape);
  if (target === undefined || Number(layer) >= shape.layers) throw unknown(given, shape);
  const planned = { ...plain(`blk.${layer}.${target}.${kind}`, tensor), ...shift };
  const heads = { attn_q: shape.heads, attn_k: shape.kvHeads }[target];
  if (target === 'ffn_gate_inp' && shape.emo) return routerOf(planned, shape, Number(layer));
  if (!rotatesPairs.has(shape.architecture) || heads === undefined) return planned;
  return interleaved(planned, heads);
}

/** The table of positions from the first that is used on. */
function withoutOffset(planned: PlannedTensor, shape: CheckpointShape): PlannedTensor {
  const { positionOffset = 0 } = shape;
  if (positionOffset === 0 || planned.name !== 'position_embd.weight') return planned;
  const [source] = planned.matrices as [MatrixSource];
  const rows = planned.rows - positionOffset;
  if (rows < 1) throw wrongShape(planned.name, source.tensor);
  const matrices = [{ ...source, firstRow: positionOffset }];
  return { ...planned, rows, shape: [planned.rowLength, rows], matrices };
}

function nameIn(part: string, { architecture }: CheckpointShape): string | undefined {
  return layerNames.get(part) ?? namesOf.get(architecture)?.get(part);
}

/** Router and experts of Granite: as transformers 5 saves those of others, by other names. */
function graniteExperts(block: string, part: string, tensor: SafetensorsTensor): PlannedTensor[] {
  if (part === 'router.layer') return [plain(`${block}.ffn_gate_inp.weight`, tensor)];
  return fusedExperts(block, part === 'input_linear' ? 'gate_up_proj' : 'down_proj', tensor);
}

/** Architectures of GGUF that rotate neighbours, where checkpoints rotate halves. */
export const rotatesPairs: ReadonlySet<string> = new Set([
  ...['llama', 'deepseek', 'granite', 'granitemoe', 'smollm3', 'mistral3'],
]);

/** Experts of a layer that a router chooses among, and those behind them that it does not. */
function expertsOf({ experts, emo }: CheckpointShape, layer: number) {
  const own = emo?.[layer];
  return emo
    ? { routed: own?.experts ?? 0, shared: own?.shared ?? 0 }
    : { routed: experts, shared: 0 };
}

/** The rows of a router without those of shared experts, which are never used. */
function routerOf(planned: PlannedTensor, shape: CheckpointShape, layer: number): PlannedTensor {
  const { routed, shared } = expertsOf(shape, layer);
  if (planned.shape.length !== 2 || planned.rows !== routed + shared) {
    throw wrongShape(planned.name, planned.matrices[0]?.tensor as SafetensorsTensor);
  }
  return { ...planned, rows: routed, shape: [planned.rowLength, routed] };
}

/** Of each head, row i of the first half and row i of the second become neighbours. */
function interleaved(planned: PlannedTensor, heads: number): PlannedTensor {
  // A bias is one row; its elements are reordered as the rows of its matrix are.
  const asRows =
    planned.shape.length === 1 ? { rowLength: 1, rows: planned.rowLength } : { ...planned };
  const interleave = asRows.rows / heads;
  if (!Number.isInteger(interleave) || interleave % 2 !== 0) {
    throw new PacelineError(
      'wrong-shape',
      `Tensor ${planned.name} has ${asRows.rows} rows for ${heads} heads`,
      { hint: 'config.json does not fit the tensors.', details: { tensor: planned.name } },
    );
  }
  return { ...planned, rowLength: asRows.rowLength, rows: asRows.rows, interleave };
}
