/**
 * From a checkpoint's config.json and generation_config.json to GGUF's metadata: the architecture's
 * name, its hyperparameters, and the sampling that its authors suggest. Keys and types are those of
 * llama.cpp's converter. What a config asks for and GGUF or the engine cannot express is refused.
 */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import { readBertHyperparameters } from './bert-checkpoint.js';
import type { CheckpointHyperparameters } from './checkpoint-shape.js';
import { rotatesPairs } from './checkpoint-tensors.js';
import {
  architectures,
  bertArchitecture,
  embeddingGemma,
  gemma4Architecture,
  hunyuanArchitecture,
  jinaArchitecture,
  lfm2Architecture,
  lfm2MoeArchitecture,
  nomicArchitecture,
  supportedClasses,
} from './classes.js';
import { decoderReaders, type HyperparameterReader } from './decoder-readers.js';
import { variantMetadata } from './decoder-variants.js';
import { requireEncoder } from './embedding-gemma-checkpoint.js';
import { emoMetadata, readEmoLayers } from './emo-checkpoint.js';
import { readGemma4Hyperparameters } from './gemma4-checkpoint.js';
import { requireOwnKeys } from './hunyuan-checkpoint.js';
import { readJinaHyperparameters } from './jina-checkpoint.js';
import type { JsonObject } from './json.js';
import { readLfm2Hyperparameters } from './lfm2-checkpoint.js';
import { readLfm2MoeHyperparameters } from './lfm2-moe-checkpoint.js';
import { readNomicHyperparameters } from './nomic-checkpoint.js';
import { readNomicMoeHyperparameters } from './nomic-moe-checkpoint.js';
import { quantizationOf } from './quantized-checkpoint.js';
import { setRope } from './rope-metadata.js';

/** Readers of architectures whose configs have little in common with Llama's. */
const ownReaders: ReadonlyMap<string, HyperparameterReader> = new Map([
  [bertArchitecture, readBertHyperparameters],
  [gemma4Architecture, readGemma4Hyperparameters],
  [jinaArchitecture, readJinaHyperparameters],
  [lfm2Architecture, readLfm2Hyperparameters],
  [lfm2MoeArchitecture, readLfm2MoeHyperparameters],
  [nomicArchitecture, readNomic],
]);

/** With experts it is another architecture, though of the same class. */
function readNomic(config: JsonObject): CheckpointHyperparameters {
  const sparse = (config.number('moe_every_n_layers') ?? 0) > 0;
  return sparse ? readNomicMoeHyperparameters(config) : readNomicHyperparameters(config);
}

/**
 * Reads a config.
 * @throws {PacelineError} `unsupported-architecture` by name, `broken-file` when values are missing.
 */
export function readHyperparameters(config: JsonObject): CheckpointHyperparameters {
  const architecture = architectureOf(config);
  quantizationOf(config, architecture === 'gpt-oss' ? ['mxfp4'] : ['fp8']);
  const own = ownReaders.get(architecture) ?? decoderReaders.get(architecture);
  if (own !== undefined) return own(config, architecture);
  const text = config.object('text_config') ?? config;
  const gemma = architecture.startsWith('gemma');
  const usual = (key: string, standard: number) =>
    gemma ? (text.count(key) ?? standard) : text.requiredCount(key);
  const layers = text.requiredCount('num_hidden_layers');
  const embedding = text.requiredCount('hidden_size');
  const heads = usual('num_attention_heads', 8);
  const kvHeads = text.count('num_key_value_heads') ?? (gemma ? 4 : heads);
  // Dense models of Hunyuan may call their network one expert.
  const experts =
    architecture === hunyuanArchitecture
      ? 0
      : (text.count('num_local_experts') ?? text.count('num_experts') ?? 0);
  const headDim = text.count('head_dim') ?? (gemma ? 256 : undefined);
  const vocabSize = text.count('vocab_size') ?? config.count('vocab_size') ?? 262_208;
  refuseOddities(text, architecture);
  if (architecture === embeddingGemma) requireEncoder(text);
  if (architecture === hunyuanArchitecture) requireOwnKeys(text);
  const emo = architecture === 'deepseek' ? readEmoLayers(text, layers) : undefined;

  const metadata = new Map<string, GgufMetadataEntry>();
  const set = (key: string, entry: GgufMetadataEntry) =>
    metadata.set(`${architecture}.${key}`, entry);
  set('block_count', ggufValue.uint32(layers));
  if (!emo) set('context_length', ggufValue.uint32(usual('max_position_embeddings', 131_072)));
  set('embedding_length', ggufValue.uint32(embedding));
  set('feed_forward_length', ggufValue.uint32(text.requiredCount('intermediate_size')));
  set('attention.head_count', ggufValue.uint32(heads));
  set('attention.head_count_kv', ggufValue.uint32(kvHeads));
  const epsilon = text.number('rms_norm_eps') ?? 1e-6;
  const fixed = architecture === 'olmoe' ? 1e-5 : epsilon;
  set('attention.layer_norm_rms_epsilon', ggufValue.float32(fixed));
  if (headDim !== undefined) {
    set('attention.key_length', ggufValue.uint32(headDim));
    set('attention.value_length', ggufValue.uint32(headDim));
  }
  if (experts > 0 && !emo) {
    set('expert_count', ggufValue.uint32(experts));
    set('expert_used_count', ggufValue.uint32(text.requiredCount('num_experts_per_tok')));
  }
  const expertInner = text.count('moe_intermediate_size');
  if (architecture === 'qwen3moe' && expertInner !== undefined) {
    set('expert_feed_forward_length', ggufValue.uint32(expertInner));
  }
  if (rotatesPairs.has(architecture) && !emo) {
    set('vocab_size', ggufValue.uint32(vocabSize));
    set('rope.dimension_count', ggufValue.uint32(headDim ?? embedding / heads));
  }
  if (gemma && text.get('sliding_window_pattern') !== 1) {
    set('attention.sliding_window', ggufValue.uint32(text.requiredCount('sliding_window')));
  }
  const dimensions = headDim ?? embedding / heads;
  for (const [key, entry] of emo ? emoMetadata(text, emo, { dimensions, vocabSize }) : []) {
    set(key, entry);
  }
  const variant = { architecture, layers, heads, embedding, headDim: dimensions };
  for (const [key, entry] of variantMetadata(text, variant)) set(key, entry);
  const ropeFactors = setRope(set, text, {
    ...{ architecture, dimensions, gemma: gemma && architecture !== 'gemma2' },
  });
  const tied = text.boolean('tie_word_embeddings') ?? config.boolean('tie_word_embeddings');
  return {
    shape: {
      architecture,
      layers,
      heads,
      kvHeads,
      experts,
      emo,
      vocabSize,
      tied: tied ?? gemma,
    },
    metadata,
    ropeFactors,
  };
}

function architectureOf(config: JsonObject): string {
  const [name] = config.list('architectures') ?? [];
  const found =
    typeof name === 'string' && Object.hasOwn(architectures, name)
      ? architectures[name]
      : undefined;
  if (found !== undefined) return found;
  throw new PacelineError(
    'unsupported-architecture',
    name === undefined
      ? 'config.json names no architecture'
      : `Checkpoints of ${String(name)} cannot be converted`,
    {
      hint: `Supported are: ${supportedClasses.join(', ')}.`,
      details: { architecture: name, supported: supportedClasses },
    },
  );
}

const softcaps = [
  ['attn_logit_softcapping', 'attention'],
  ['final_logit_softcapping', 'logits'],
] as const;

/** Variants of known architectures that compute something else. */
function refuseOddities(text: JsonObject, architecture: string): void {
  const refuse = (what: string) => {
    throw new PacelineError('unsupported-architecture', `${what} is not supported`, {
      hint: 'Use the original checkpoint, in F32, F16 or BF16.',
      details: { architecture },
    });
  };
  const capped = architecture === 'gemma2';
  for (const [key, what] of softcaps) {
    if (!capped && text.get(key) !== undefined) refuse(`Softcapping of ${what}`);
  }
  if (text.get('clip_qkv') !== undefined) refuse('Clipping of q, k and v');
  const step = text.number('decoder_sparse_step') ?? 1;
  const dense = text.list('mlp_only_layers') ?? [];
  if (step !== 1 || dense.length > 0) refuse('A mixture of experts in some layers only');
}

/** `general.sampling.*` from generation_config.json. */
export function samplingMetadata(
  generation: JsonObject | undefined,
): Map<string, GgufMetadataEntry> {
  const metadata = new Map<string, GgufMetadataEntry>();
  const set = (key: string, value: number | undefined, kind: 'int32' | 'float32') => {
    if (value !== undefined) metadata.set(`general.sampling.${key}`, ggufValue[kind](value));
  };
  if (generation === undefined) return metadata;
  const topK = generation.number('top_k');
  set('top_k', topK === undefined ? undefined : Math.trunc(topK), 'int32');
  set('top_p', generation.number('top_p'), 'float32');
  set('min_p', generation.number('min_p'), 'float32');
  set('temp', generation.number('temperature'), 'float32');
  set('penalty_repeat', generation.number('repetition_penalty'), 'float32');
  return metadata;
}
