/**
 * Checkpoints of Qwen 3 that rank texts (arXiv 2506.05176). Qwen's own are language models that answer yes or no: of
 * the head two rows are kept, as llama.cpp's converter does. `Qwen3ForSequenceClassification` has a row of its own,
 * whose sigmoid is the score: as two rows of which the other is 0, since readers take the softmax of both.
 */
import { basename, join } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { rowBytes } from '../ggml/types.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import { requireOneClass } from './bert-checkpoint.js';
import type { CheckpointShape } from './checkpoint-shape.js';
import { derived, readTensorRows, rowsOf } from './derived-tensors.js';
import { type JsonObject, readJsonIfThere, readTextIfThere } from './json.js';
import { type PlannedTensor, plain, wrongShape } from './planned-tensors.js';
import type { SafetensorsTensor } from './safetensors.js';

export const qwen3RankerClass = 'Qwen3ForSequenceClassification';

/** `pooling_type` of models that rank. */
const rank = 4;

/** How query and document are put to these models. */
const template =
  '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct ' +
  'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: Given a web ' +
  'search query, retrieve relevant passages that answer the query\n<Query>: {query}\n<Document>: {document}' +
  '<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n';

export interface Ranker {
  /** Those that are planned as of any Qwen 3. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
  /** Two rows: yes, or the score, and no. */
  readonly head: PlannedTensor;
  readonly metadata: ReadonlyMap<string, GgufMetadataEntry>;
}

export interface RankerCheckpoint {
  readonly folder: string;
  readonly config: JsonObject;
  readonly shape: CheckpointShape;
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
}

/**
 * What a checkpoint ranks with; undefined: it does not rank. Known by its class, or as llama.cpp's converter knows
 * Qwen's own: by the name of the folder or of the model in config.json, or by the title of its README.
 * @throws {PacelineError} `unsupported-architecture`, `unsupported-tokenizer`, `missing-tensor`, `wrong-shape`,
 *   `broken-file`, `io`.
 */
export async function qwen3Ranker(checkpoint: RankerCheckpoint): Promise<Ranker | undefined> {
  const { folder, config, shape, tensors } = checkpoint;
  if (shape.architecture !== 'qwen3') return undefined;
  const classifies = config.list('architectures')?.[0] === qwen3RankerClass;
  if (!classifies && !(await answers(folder, config))) return undefined;
  const rest = new Map(tensors);
  const take = (name: string): SafetensorsTensor => {
    const found = tensors.get(name);
    if (found !== undefined) return found;
    throw new PacelineError('missing-tensor', `The checkpoint ranks, but has no ${name}`, {
      details: { tensor: name },
    });
  };
  const metadata = new Map<string, GgufMetadataEntry>([
    ['qwen3.pooling_type', ggufValue.uint32(rank)],
    ['tokenizer.chat_template.rerank', ggufValue.string(template)],
    ['tokenizer.chat_templates', ggufValue.strings(['rerank'])],
  ]);
  if (classifies) {
    requireOneClass(config);
    rest.delete('score.weight');
    const score = take('score.weight');
    return { tensors: rest, head: plain('cls.output.weight', withZeros(score)), metadata };
  }
  const table = take(shape.tied ? 'model.embed_tokens.weight' : 'lm_head.weight');
  // What a text is continued with is of no use any more.
  if (!shape.tied) rest.delete('lm_head.weight');
  const ids = await idsOf(folder, ['yes', 'no'], shape.vocabSize);
  metadata.set('qwen3.classifier.output_labels', ggufValue.strings(['yes', 'no']));
  const rows = rowsOf(table, [2, table.shape.at(-1) ?? 0], (row) => ids[row] as number);
  return { tensors: rest, head: plain('cls.output.weight', rows), metadata };
}

async function answers(folder: string, config: JsonObject): Promise<boolean> {
  const names = [basename(folder), config.string('_name_or_path') ?? ''];
  if (names.some((name) => name.toLowerCase().includes('qwen3-reranker'))) return true;
  const readme = (await readTextIfThere(join(folder, 'README.md'))) ?? '';
  return readme.toLowerCase().includes('# qwen3-reranker');
}

/** Ids of texts that are one token each. */
async function idsOf(folder: string, texts: readonly string[], size: number): Promise<number[]> {
  const tokenizer = await readJsonIfThere(join(folder, 'tokenizer.json'));
  const vocabulary = tokenizer?.object('model')?.object('vocab');
  return texts.map((text) => {
    const id = vocabulary?.get(text);
    if (Number.isInteger(id) && (id as number) >= 0 && (id as number) < size) return id as number;
    throw new PacelineError('unsupported-tokenizer', `"${text}" is no token of tokenizer.json`, {
      hint: 'This reranker answers yes or no, each of which has to be one token.',
    });
  });
}

/** A score's row, and one of zeros. */
function withZeros(score: SafetensorsTensor): SafetensorsTensor {
  const [rows, width = 0] = score.shape;
  if (score.shape.length !== 2 || rows !== 1) throw wrongShape('cls.output.weight', score);
  return derived(score, {
    shape: [2, width],
    async read(target, first, signal) {
      target.fill(0);
      const own = target.subarray(0, rowBytes(score.type, width));
      if (first === 0) await readTensorRows(score, own, 0, signal);
    },
  });
}
