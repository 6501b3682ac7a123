/** Random checkpoints of Qwen 3 that rank: with a classifier in place of the head, and with the head's answers. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Checkpoint,
  type CheckpointOptions,
  randomCheckpoint,
  safetensors,
} from './checkpoint.js';
import { referenceLogits } from './reference.js';

/** The row of the head that becomes the classifier's. */
const row = 17;

export interface RankingCheckpoint {
  readonly folder: string;
  /** What the classifier says behind a text, in double precision. */
  logit(tokens: readonly number[]): number;
}

/** @param changed values of config.json. */
export function rankingCheckpoint(
  changed: Readonly<Record<string, unknown>> = {},
): RankingCheckpoint {
  const options = { config: { max_position_embeddings: 512 } };
  const checkpoint = randomCheckpoint('Qwen3ForCausalLM', options);
  const { folder, config, weights } = checkpoint;
  const width = config.hidden_size as number;
  const head = weights.get('lm_head.weight')?.values as Float32Array;
  const entries = [...weights].filter(([name]) => name !== 'lm_head.weight');
  const values = head.slice(row * width, (row + 1) * width);
  entries.push(['score.weight', { shape: [1, width], values }]);
  writeFileSync(join(folder, 'model.safetensors'), safetensors(entries, 'F32'));
  const own = {
    ...{ architectures: ['Qwen3ForSequenceClassification'], num_labels: 1 },
    ...{ id2label: { 0: 'LABEL_0' }, pad_token_id: 0 },
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, ...own, ...changed }));
  return {
    folder,
    logit: (tokens) => referenceLogits(checkpoint, tokens).at(-1)?.[row] as number,
  };
}

/** Ids of the answers. */
export const [yes, no] = [300, 301] as const;

/** One whose vocabulary has both answers. */
export function answeringCheckpoint(options: CheckpointOptions = {}): Checkpoint {
  const checkpoint = randomCheckpoint('Qwen3ForCausalLM', options);
  const path = join(checkpoint.folder, 'tokenizer.json');
  const tokenizer = JSON.parse(readFileSync(path, 'utf8'));
  const { vocab, merges } = tokenizer.model;
  for (const [id, text] of [
    [yes, 'yes'],
    [no, 'no'],
  ] as const) {
    const [old] = Object.entries(vocab).find(([, found]) => found === id) as [string, number];
    delete vocab[old];
    vocab[text] = id;
    tokenizer.model.merges = merges.filter((pair: string[]) => vocab[pair.join('')] !== undefined);
  }
  writeFileSync(path, JSON.stringify(tokenizer));
  return checkpoint;
}
