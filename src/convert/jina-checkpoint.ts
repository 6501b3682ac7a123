/**
 * Checkpoints of Jina's second BERT (`JinaBertModel`, arXiv 2310.19923) in both of its forms: that of the English and
 * bilingual models, and that of the model for code, with norms of queries and keys and a second norm behind attention.
 * Keys and names are those of llama.cpp's converter. Tokenizer and pooling are those of BERT or RoBERTa.
 */
import { PacelineError } from '../base/errors.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import type { CheckpointHyperparameters, CheckpointShape } from './checkpoint-shape.js';
import { jinaArchitecture } from './classes.js';
import { rowsOf } from './derived-tensors.js';
import type { JsonObject } from './json.js';
import { layeredName } from './layered-names.js';
import { type PlannedTensor, plain, unknown } from './planned-tensors.js';
import type { SafetensorsTensor } from './safetensors.js';

/** Settings and the values that the engine computes; left out they have others. */
const computed = { position_embedding_type: 'alibi', feed_forward_type: 'geglu' } as const;

/** @throws {PacelineError} `broken-file`, `unsupported-architecture`. */
export function readJinaHyperparameters(config: JsonObject): CheckpointHyperparameters {
  for (const [key, value] of Object.entries(computed)) {
    if (config.get(key) === value) continue;
    throw new PacelineError(
      'unsupported-architecture',
      `Jina's BERT with ${key} ${JSON.stringify(config.get(key)) ?? 'left out'} is not supported`,
    );
  }
  const layers = config.requiredCount('num_hidden_layers');
  const heads = config.requiredCount('num_attention_heads');
  const vocabSize = config.requiredCount('vocab_size');
  const metadata = new Map<string, GgufMetadataEntry>();
  const set = (key: string, entry: GgufMetadataEntry) =>
    metadata.set(`${jinaArchitecture}.${key}`, entry);
  const count = (key: string, from: string) =>
    set(key, ggufValue.uint32(config.requiredCount(from)));
  set('block_count', ggufValue.uint32(layers));
  count('context_length', 'max_position_embeddings');
  count('embedding_length', 'hidden_size');
  count('feed_forward_length', 'intermediate_size');
  set('attention.head_count', ggufValue.uint32(heads));
  set('attention.layer_norm_epsilon', ggufValue.float32(config.number('layer_norm_eps') ?? 1e-12));
  set('attention.causal', ggufValue.boolean(false));
  const types = config.count('type_vocab_size') ?? 2;
  metadata.set('tokenizer.ggml.token_type_count', ggufValue.uint32(types));
  const shape = {
    ...{ architecture: jinaArchitecture, layers, heads, kvHeads: heads, experts: 0 },
    ...{ vocabSize, tied: true },
  };
  return {
    ...{ shape, metadata, ropeFactors: undefined },
    plan: (tensors) => ({ planned: planTensors(tensors, shape) }),
  };
}

const outer: ReadonlyMap<string, string> = new Map([
  ['embeddings.word_embeddings', 'token_embd'],
  ['embeddings.token_type_embeddings', 'token_types'],
  ['embeddings.LayerNorm', 'token_embd_norm'],
]);

const inLayer: ReadonlyMap<string, string> = new Map([
  ['attention.self.query', 'attn_q'],
  ['attention.self.key', 'attn_k'],
  ['attention.self.value', 'attn_v'],
  ['attention.self.layer_norm_q', 'attn_q_norm'],
  ['attention.self.layer_norm_k', 'attn_k_norm'],
  ['attention.output.dense', 'attn_output'],
  ['attention.output.LayerNorm', 'attn_output_norm'],
  ['layer_norm_1', 'attn_norm_2'],
  ['mlp.gated_layers', 'ffn_up'],
  ['mlp.up_gated_layer', 'ffn_up'],
  ['mlp.wo', 'ffn_down'],
  ['mlp.down_layer', 'ffn_down'],
  ['mlp.layernorm', 'layer_output_norm'],
  ['layer_norm_2', 'layer_output_norm'],
]);

/** What vectors do without, and what guesses words. */
const left = /^(embeddings\.position_ids$|pooler\.|cls\.)/;

function planTensors(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  shape: CheckpointShape,
): PlannedTensor[] {
  return [...tensors].flatMap(([given, tensor]) => {
    const name = given.replace(/^bert\./, '');
    if (left.test(name)) return [];
    const found = layeredName(name, { layers: 'encoder.layer', outer, inLayer });
    if (found === undefined) throw unknown(given, shape);
    return [plain(found, name.includes('up_gated_layer') ? gateFirst(tensor) : tensor)];
  });
}

/**
 * A matrix whose second half of rows is the gate, the other way round. The model for code has it so, and readers take
 * the first half for the gate of every one; llama.cpp's converter leaves it as it is.
 */
function gateFirst(tensor: SafetensorsTensor): SafetensorsTensor {
  const [rows = 0] = tensor.shape;
  const half = rows / 2;
  return rowsOf(tensor, tensor.shape, (row) => (row + half) % rows);
}
