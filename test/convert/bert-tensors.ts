/** Random tensors of a checkpoint of BERT, by the checkpoint's names. */
import { randomNormal } from '../../src/synthetic/random-model.js';
import type { Weights } from './checkpoint.js';

export interface BertTensorSizes {
  readonly layers: number;
  readonly embedding: number;
  readonly inner: number;
  /** Rows of the table of positions, of tokens and of types. */
  readonly positions: number;
  readonly vocab: number;
  readonly types: number;
}

export function bertTensors(sizes: BertTensorSizes): Map<string, Weights> {
  const found = new Map<string, Weights>();
  const { embedding, inner } = sizes;
  let seed = 1;
  const add = (name: string, shape: readonly number[], gain: number, mean = 0) => {
    const random = randomNormal(seed++);
    const length = shape.reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length }, () => mean + gain * random());
    found.set(name, { shape, values });
  };
  const linear = (name: string, from: number, to: number) => {
    add(`${name}.weight`, [to, from], 1 / Math.sqrt(from));
    add(`${name}.bias`, [to], 0.1);
  };
  const norm = (name: string) => {
    add(`${name}.weight`, [embedding], 0.1, 1);
    add(`${name}.bias`, [embedding], 0.1);
  };
  add('embeddings.word_embeddings.weight', [sizes.vocab, embedding], 1);
  add('embeddings.position_embeddings.weight', [sizes.positions, embedding], 0.5);
  add('embeddings.token_type_embeddings.weight', [sizes.types, embedding], 0.5);
  norm('embeddings.LayerNorm');
  for (let layer = 0; layer < sizes.layers; layer++) {
    const at = `encoder.layer.${layer}`;
    for (const part of ['query', 'key', 'value']) {
      linear(`${at}.attention.self.${part}`, embedding, embedding);
    }
    linear(`${at}.attention.output.dense`, embedding, embedding);
    norm(`${at}.attention.output.LayerNorm`);
    linear(`${at}.intermediate.dense`, embedding, inner);
    linear(`${at}.output.dense`, inner, embedding);
    norm(`${at}.output.LayerNorm`);
  }
  linear('pooler.dense', embedding, embedding);
  // What has two layers of it: RoBERTa's head of a class, and BERT's with the pooler before it.
  linear('classifier.dense', embedding, embedding);
  linear('classifier.out_proj', embedding, 1);
  linear('classifier', embedding, 1);
  return found;
}
