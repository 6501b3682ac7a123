/**
 * Tensors of decoders by a table of what is in a layer: names, experts as stacks, and multi-token prediction
 * blocks behind the layers. What needs more than a name is planned by the architecture.
 */
import { type DecoderConfig, mostLayers } from './decoder-metadata.js';
import { ExpertStacks, fusedExperts } from './expert-stacks.js';
import { decoderLayerNames } from './layered-names.js';
import { type PlannedTensor, plain, unknown } from './planned-tensors.js';
import type { SafetensorsTensor } from './safetensors.js';

export interface DecoderLayout {
  /** GGUF's names of what is in a layer beside `usualNames`, without `weight` or `bias`. */
  readonly names: ReadonlyMap<string, string>;
  /** Layers, with those of multi-token prediction. */
  readonly blocks: number;
  /** GGUF's names of what is outside of the layers, beside `outerNames`. */
  readonly outer?: ReadonlyMap<string, string>;
  /** Added to the weights of norms, but those that are planned specially. */
  readonly normShift?: number;
  /** A tensor of a layer that needs more than a name; undefined: it does not. */
  readonly special?: (part: string, block: string, tensor: SafetensorsTensor) => Special;
}

export type Special = readonly PlannedTensor[] | undefined;

const usualNames: ReadonlyMap<string, string> = new Map([
  ...decoderLayerNames,
  ['mlp.gate', 'ffn_gate_inp'],
  ['mlp.shared_experts.gate_proj', 'ffn_gate_shexp'],
  ['mlp.shared_experts.up_proj', 'ffn_up_shexp'],
  ['mlp.shared_experts.down_proj', 'ffn_down_shexp'],
  ['eh_proj', 'nextn.eh_proj'],
  ['enorm', 'nextn.enorm'],
  ['hnorm', 'nextn.hnorm'],
  ['embed_tokens', 'nextn.embed_tokens'],
  ['shared_head.norm', 'nextn.shared_head_norm'],
  ['shared_head.head', 'nextn.shared_head_head'],
]);

const outerNames: ReadonlyMap<string, string> = new Map([
  ['model.embed_tokens.weight', 'token_embd.weight'],
  ['model.norm.weight', 'output_norm.weight'],
  ['lm_head.weight', 'output.weight'],
]);

const expertNames: ReadonlyMap<string, string> = new Map([
  ['gate_proj', 'ffn_gate_exps'],
  ['up_proj', 'ffn_up_exps'],
  ['down_proj', 'ffn_down_exps'],
]);

/** What a text model does not need. */
const left = /^(model\.)?(visual|vision_tower|vision_model)\.|rotary_emb\.inv_freq$/;

/**
 * Plans all tensors of a checkpoint.
 * @throws {PacelineError} `unsupported-architecture` for a tensor that has no place in the model,
 *   `missing-tensor` for a missing expert, `wrong-shape`.
 */
export function planDecoder(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  config: DecoderConfig,
  layout: DecoderLayout,
): PlannedTensor[] {
  const planned: PlannedTensor[] = [];
  const { normShift = 0 } = layout;
  const shifted = (name: string, tensor: PlannedTensor): PlannedTensor =>
    normShift !== 0 && name.endsWith('norm.weight') ? { ...tensor, shift: normShift } : tensor;
  const stacks = new ExpertStacks(() => config.experts);
  for (const [given, tensor] of tensors) {
    if (left.test(given)) continue;
    const name = given.replace(/^(model\.)?language_model\.(model\.)?(?!lm_head)/, 'model.');
    const bare = name.replace(/^model\.lm_head/, 'lm_head');
    const outer = outerNames.get(bare) ?? layout.outer?.get(bare);
    if (outer !== undefined) {
      if (outer !== 'output.weight' || !config.tied) {
        planned.push(shifted(name, plain(outer, tensor)));
      }
      continue;
    }
    const [, layer, part = ''] = /^model\.layers\.(\d+)\.(.+)$/.exec(name) ?? [];
    if (layer === undefined || Number(layer) >= layout.blocks) throw unknown(given, config);
    const block = `blk.${Number(layer)}`;
    const special = layout.special?.(part, block, tensor);
    const expert = /^mlp\.experts\.(\d+)\.(\w+)\.weight$/.exec(part);
    const kind = expert && expertNames.get(expert[2] as string);
    const fused = /^mlp\.experts\.(gate_up_proj|down_proj)$/.exec(part);
    if (special !== undefined) planned.push(...special);
    else if (expert && kind !== undefined && Number(expert[1]) < config.experts) {
      stacks.add(`${block}.${kind}.weight`, Number(expert[1]), tensor);
    } else if (fused) planned.push(...fusedExperts(block, fused[1] as string, tensor));
    else planned.push(shifted(name, named(given, part, block, tensor, config, layout)));
  }
  return [...planned, ...stacks.planned()];
}

/**
 * How many multi-token prediction blocks a checkpoint has behind its layers: as many as its config says, or none where
 * they were not saved.
 */
export function countDraftBlocks(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  { text, layers }: DecoderConfig,
): number {
  const said = text.whole('num_nextn_predict_layers') ?? text.whole('num_mtp_layers') ?? 0;
  if (said > mostLayers) {
    throw text.wrong('num_nextn_predict_layers', `is ${said}, at most ${mostLayers}`);
  }
  const saved = [...tensors.keys()].some((name) => name.startsWith(`model.layers.${layers}.`));
  return saved ? said : 0;
}

function named(
  given: string,
  part: string,
  block: string,
  tensor: SafetensorsTensor,
  config: DecoderConfig,
  { names }: DecoderLayout,
): PlannedTensor {
  if (part === 'mlp.gate.e_score_correction_bias')
    return plain(`${block}.exp_probs_b.bias`, tensor);
  const [, before = '', kind] = /^(.+)\.(weight|bias)$/.exec(part) ?? [];
  const found = names.get(before) ?? usualNames.get(before);
  if (found === undefined) throw unknown(given, config);
  return plain(`${block}.${found}.${kind}`, tensor);
}
