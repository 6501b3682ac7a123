/**
 * Checkpoints of Nomic's BERT with experts (`NomicBertModel` with `moe_every_n_layers`, arXiv 2502.07972): biases, a
 * network without a gate, and in every other layer experts without gates. Keys and names are those of llama.cpp's
 * converter, which leaves out the vector that is added behind the experts of a layer: GGUF has no place for it.
 */
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters, CheckpointShape } from './checkpoint-shape.js';
import { nomicMoeArchitecture } from './classes.js';
import { transposed } from './derived-tensors.js';
import { matrixStack } from './expert-stacks.js';
import type { JsonObject } from './json.js';
import { nomicCommon, nomicTensorName } from './nomic-checkpoint.js';
import { type PlannedTensor, plain, unknown, wrongShape } from './planned-tensors.js';
import type { SafetensorsTensor } from './safetensors.js';

/** Settings of the class and the values that the engine computes. */
const computed = {
  activation_function: 'gelu',
  ...{ causal: false, prenorm: false, parallel_block: false, use_rms_norm: false },
  ...{ qkv_proj_bias: true, mlp_fc1_bias: true, mlp_fc2_bias: true },
  ...{ rotary_emb_fraction: 1, rotary_emb_interleaved: false },
  ...{ moe_normalize_expert_weights: false, expert_choice_router: false, num_shared_experts: 0 },
} as const;

/** @throws {PacelineError} `broken-file`, `unsupported-architecture`. */
export function readNomicMoeHyperparameters(config: JsonObject): CheckpointHyperparameters {
  const given = nomicCommon(config, { architecture: nomicMoeArchitecture, computed });
  const metadata = new Map(given.metadata);
  const set = (key: string, value: number) =>
    metadata.set(`${nomicMoeArchitecture}.${key}`, ggufValue.uint32(value));
  const experts = config.requiredCount('num_experts');
  set('expert_count', experts);
  set('expert_used_count', config.requiredCount('moe_top_k'));
  set('moe_every_n_layers', config.requiredCount('moe_every_n_layers'));
  // It saw texts of 512 tokens; the config tells four times as many. The converter's own rule.
  const told = ['n_positions', 'max_trained_positions'].map((key) => config.count(key) ?? 2048);
  if (told.every((positions) => positions === 2048)) set('context_length', 512);
  const shape = { ...given.shape, experts };
  return {
    ...{ shape, metadata, ropeFactors: undefined },
    plan: (tensors) => ({ planned: planTensors(tensors, shape) }),
  };
}

function planTensors(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  shape: CheckpointShape,
): PlannedTensor[] {
  return [...tensors].flatMap(([given, tensor]) => {
    const [, layer, part] = /^encoder\.layers\.(\d+)\.mlp\.experts\.(.+)$/.exec(given) ?? [];
    if (part === 'bias') return [];
    if (part === 'mlp.w1')
      return [matrixStack(`blk.${layer}.ffn_up_exps.weight`, apart(tensor, shape))];
    if (part === 'mlp.w2') {
      return [matrixStack(`blk.${layer}.ffn_down_exps.weight`, transposed(apart(tensor, shape)))];
    }
    const name = part === undefined ? nomicTensorName(given) : undefined;
    if (name === undefined) throw unknown(given, shape);
    return [plain(name, tensor)];
  });
}

/** Matrices one below the other as [experts, rows, columns]. */
function apart(tensor: SafetensorsTensor, { experts }: CheckpointShape): SafetensorsTensor {
  const [rows = 0, columns = 0] = tensor.shape;
  if (tensor.shape.length !== 2 || rows % experts !== 0) throw wrongShape(tensor.name, tensor);
  return { ...tensor, shape: [experts, rows / experts, columns] };
}
