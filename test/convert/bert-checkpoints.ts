/** Random checkpoints of BERT and XLM-RoBERTa, by the class that config.json names. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFile } from '../support/tiny-model.js';
import { bertTensors } from './bert-tensors.js';
import { safetensors, type Weights } from './checkpoint.js';

/** Sizes of all of them; `positions` counts RoBERTa's two rows that are never used. */
export const sizes = {
  layers: 2,
  heads: 2,
  embedding: 32,
  inner: 64,
  positions: 66,
  epsilon: 1e-5,
};
export const roberta = { ...sizes, offset: 2 };

export interface BertCheckpointOptions {
  readonly prefix?: string;
  /** Tensors that the class has beside those of the encoder. */
  readonly head?: RegExp;
  readonly changed?: object;
}

/** Writes a value as JSON into a folder. */
export function writeJson(folder: string, name: string, value: object): void {
  writeFileSync(join(folder, name), JSON.stringify(value));
}

/** Writes a checkpoint without a tokenizer. */
export function bertCheckpoint(
  name: string,
  size: number,
  { prefix = '', head = /^$/, changed = {} }: BertCheckpointOptions,
): { folder: string; tensorOf: (tensor: string) => Float32Array } {
  const folder = temporaryFile(`${name}-${Math.random().toString(36).slice(2)}`);
  mkdirSync(join(folder, '1_Pooling'), { recursive: true });
  writeJson(folder, 'config.json', {
    ...{ architectures: [name], hidden_act: 'gelu', vocab_size: size, pad_token_id: 1 },
    ...{ hidden_size: sizes.embedding, intermediate_size: sizes.inner, type_vocab_size: 1 },
    ...{ num_hidden_layers: sizes.layers, num_attention_heads: sizes.heads },
    ...{ max_position_embeddings: sizes.positions, layer_norm_eps: sizes.epsilon },
    model_type: name.startsWith('XLM') ? 'xlm-roberta' : 'bert',
    ...{ position_embedding_type: 'absolute', ...changed },
  });
  const weights = bertTensors({ ...sizes, vocab: size, types: 1 });
  const kept = [...weights].flatMap(([tensor, value]): [string, Weights][] => {
    const own = !/^(pooler|classifier)/.test(tensor);
    // A pooler stands with the encoder, a classifier beside it.
    const stands = own || tensor.startsWith('pooler') ? `${prefix}${tensor}` : tensor;
    return own || head.test(tensor) ? [[stands, value]] : [];
  });
  writeFileSync(join(folder, 'model.safetensors'), safetensors(kept, 'F32'));
  return { folder, tensorOf: (tensor) => weights.get(tensor)?.values ?? assert.fail(tensor) };
}
