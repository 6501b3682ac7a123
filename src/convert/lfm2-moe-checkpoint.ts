/**
 * Checkpoints of LFM2 with experts (`Lfm2MoeForCausalLM`): LFM2 whose later layers have experts in place of the
 * network, rated by a sigmoid and chosen with a bias. Keys and names are those of llama.cpp's converter.
 */
import { PacelineError } from '../base/errors.js';
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters, CheckpointShape } from './checkpoint-shape.js';
import { lfm2MoeArchitecture } from './classes.js';
import { ExpertStacks, fusedExperts } from './expert-stacks.js';
import type { JsonObject } from './json.js';
import { depthwise, lfm2Common, lfm2TensorName } from './lfm2-checkpoint.js';
import { type PlannedTensor, plain, unknown } from './planned-tensors.js';
import type { SafetensorsTensor } from './safetensors.js';

/** What experts are rated by, as GGUF numbers it. */
const sigmoid = 2;

/** @throws {PacelineError} `broken-file`, `unsupported-architecture`. */
export function readLfm2MoeHyperparameters(config: JsonObject): CheckpointHyperparameters {
  const normalised = config.boolean('norm_topk_prob') ?? true;
  const scale = config.number('routed_scaling_factor') ?? 1;
  if (!normalised || scale !== 1) {
    throw new PacelineError(
      'unsupported-architecture',
      `LFM2 whose experts are weighed otherwise (norm_topk_prob ${normalised}, routed_scaling_factor ${scale}) ` +
        'is not supported',
    );
  }
  const { shape: common, metadata: given } = lfm2Common(config, {
    architecture: lfm2MoeArchitecture,
    inner: config.requiredCount('intermediate_size'),
  });
  const shape = { ...common, experts: config.requiredCount('num_experts') };
  const metadata = new Map(given);
  const set = (key: string, value: number) =>
    metadata.set(`${lfm2MoeArchitecture}.${key}`, ggufValue.uint32(value));
  set('expert_count', shape.experts);
  set('expert_used_count', config.requiredCount('num_experts_per_tok'));
  set('expert_feed_forward_length', config.requiredCount('moe_intermediate_size'));
  set('leading_dense_block_count', config.number('num_dense_layers') ?? 0);
  set('expert_gating_func', sigmoid);
  return {
    ...{ shape, metadata, ropeFactors: undefined },
    plan: (tensors) => ({ planned: planTensors(tensors, shape) }),
  };
}

const expertNames: Readonly<Record<string, string>> = {
  ...{ w1: 'ffn_gate_exps', w3: 'ffn_up_exps', w2: 'ffn_down_exps' },
};

function planTensors(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  shape: CheckpointShape,
): PlannedTensor[] {
  const stacks = new ExpertStacks(() => shape.experts);
  const planned: PlannedTensor[] = [];
  for (const [given, tensor] of tensors) {
    const [, layer, part = ''] =
      /^model\.layers\.(\d+)\.feed_forward\.(experts?[._].+)$/.exec(given) ?? [];
    const [, index, which = ''] = /^experts\.(\d+)\.(w[123])\.weight$/.exec(part) ?? [];
    const kind = expertNames[which];
    if (kind !== undefined) stacks.add(`blk.${layer}.${kind}.weight`, Number(index), tensor);
    else if (/^experts\.(gate_up_proj|down_proj)$/.test(part)) {
      planned.push(...fusedExperts(`blk.${layer}`, part.slice('experts.'.length), tensor));
    } else if (part === 'expert_bias') {
      planned.push(plain(`blk.${layer}.exp_probs_b.bias`, tensor));
    } else {
      const name = lfm2TensorName(given);
      if (name === undefined) throw unknown(given, shape);
      const leave = name === 'output.weight' && shape.tied;
      if (!leave) planned.push(plain(name, depthwise(tensor)));
    }
  }
  return [...planned, ...stacks.planned()];
}
