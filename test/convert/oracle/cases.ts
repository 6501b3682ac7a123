/** Checkpoints of decoders that are compared with other software, by what is said of them. */
import {
  type Checkpoint,
  type CheckpointClass,
  type CheckpointOptions,
  longRope,
  randomCheckpoint,
} from '../checkpoint.js';
import { decoderCases } from '../decoder-cases.js';
import { gemma4Logits } from '../gemma4-reference.js';
import { small, sparse } from '../gemma4-shapes.js';
import { lfm2Logits } from '../lfm2-reference.js';
import { referenceLogits } from '../reference.js';

export interface OracleCase {
  /** The class, or the name among the decoders with own layouts. */
  readonly of: string;
  readonly make: () => Checkpoint;
  /** The tests' reference. */
  readonly logits: (
    checkpoint: Checkpoint,
    tokens: readonly number[],
  ) => readonly (readonly number[] | Float64Array)[];
  /** Tokens that reach what this one is about; default: the same few for all. */
  readonly text?: readonly number[];
}

const llama3 = {
  ...{ rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
  original_max_position_embeddings: 32,
};
const classes: readonly (readonly [CheckpointClass, CheckpointOptions])[] = [
  ['LlamaForCausalLM', {}],
  ['LlamaForCausalLM', { shards: 2, type: 'BF16', config: { rope_scaling: llama3 } }],
  ['MixtralForCausalLM', {}],
  ['Qwen2ForCausalLM', {}],
  ['Qwen3ForCausalLM', { type: 'F16' }],
  ['Qwen3MoeForCausalLM', {}],
  ['OlmoeForCausalLM', {}],
  ['Olmo2ForCausalLM', {}],
  ['Olmo3ForCausalLM', {}],
  ['SmolLM3ForCausalLM', {}],
  ['GraniteForCausalLM', {}],
  ['GraniteMoeForCausalLM', {}],
  ['Ernie4_5ForCausalLM', {}],
  ['Phi3ForCausalLM', {}],
  ['Phi3ForCausalLM', { config: longRope(8) }],
  ['Phi3ForCausalLM', { config: longRope(96) }],
  ['SeedOssForCausalLM', {}],
  ['HunYuanDenseV1ForCausalLM', {}],
  ['Ministral3ForCausalLM', {}],
  ['Lfm2ForCausalLM', {}],
  ['Lfm2MoeForCausalLM', {}],
  ['Lfm2MoeForCausalLM', { fused: true }],
  ['Gemma2ForCausalLM', {}],
  ['Gemma3ForCausalLM', {}],
  ['Gemma4ForCausalLM', {}],
  ['Gemma4ForCausalLM', { config: small }],
  ['Gemma4ForCausalLM', { config: sparse }],
];

function logitsOf(of: CheckpointClass): OracleCase['logits'] {
  if (of.startsWith('Lfm2')) return lfm2Logits;
  return of === 'Gemma4ForCausalLM' ? gemma4Logits : referenceLogits;
}

export const oracleCases: Readonly<Record<string, OracleCase>> = Object.fromEntries([
  ...classes.map(([of, options]): [string, OracleCase] => [
    `${of} ${JSON.stringify(options)}`,
    { of, make: () => randomCheckpoint(of, options), logits: logitsOf(of) },
  ]),
  ...Object.entries(decoderCases).map(([of, one]): [string, OracleCase] => [of, { of, ...one }]),
]);
