/**
 * Our converted checkpoints against transformers itself, and the tests' reference against it, too; of encoders
 * the reference alone, which the tests hold the engine against. Not
 * a test, because PyTorch is too large to install for one. In a Python environment with torch and
 * transformers: `node --import tsx test/convert/oracle/transformers.ts path/to/python [class ...]`
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { convertCheckpoint } from '../../../src/convert/convert.js';
import { GgmlType } from '../../../src/ggml/types.js';
import { Runner, worstDifference } from '../../oracle/runner.js';
import { temporaryFile } from '../../support/tiny-model.js';
import { bertCheckpoint, roberta, sizes } from '../bert-checkpoints.js';
import { bertRows, classScore } from '../bert-reference.js';
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
import { rankingCheckpoint } from '../ranking-checkpoint.js';
import { referenceLogits } from '../reference.js';

const [python = 'python3', ...wanted] = process.argv.slice(2);
const tokens = [7, 300, 12, 45, 45, 201, 3, 99, 150, 31, 77, 260, 8];
const llama3 = {
  ...{ rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
  original_max_position_embeddings: 32,
};
const cases: readonly (readonly [CheckpointClass, CheckpointOptions])[] = [
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

/** Rows of numbers that a script prints for tokens. */
function fromPython(script: string, folder: string, ids: readonly number[]): Float32Array[] {
  const path = join(import.meta.dirname, script);
  const output = execFileSync(python, [path, folder, ...ids.map(String)], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  return (JSON.parse(output) as number[][]).map((row) => Float32Array.from(row));
}

/** Compares the converted checkpoint, and the tests' reference, with transformers. */
async function compare(
  name: string,
  checkpoint: Checkpoint,
  logits: (
    checkpoint: Checkpoint,
    tokens: readonly number[],
  ) => readonly (readonly number[] | Float64Array)[],
  text: readonly number[] = tokens,
): Promise<void> {
  const expected = fromPython('logits.py', checkpoint.folder, text);
  const path = temporaryFile(`converted-${Math.random()}.gguf`);
  await convertCheckpoint({ checkpoint: checkpoint.folder, output: path, type: 'F32' });
  using runner = await Runner.open(path, { cacheType: GgmlType.F32, capacity: 192 });
  const ours = worstDifference(await runner.decode(text), expected);
  const reference = logits(checkpoint, text).map((row) => Float32Array.from(row));
  const theirs = worstDifference(reference, expected);
  process.stdout.write(
    `${name}: engine ${ours.toExponential(1)}, ` +
      `reference ${theirs.toExponential(1)} of the logits' range\n`,
  );
}

for (const [name, options] of cases) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const checkpoint = randomCheckpoint(name, options);
  const logits = name.startsWith('Lfm2')
    ? lfm2Logits
    : name === 'Gemma4ForCausalLM'
      ? gemma4Logits
      : referenceLogits;
  await compare(`${name} ${JSON.stringify(options)}`, checkpoint, logits);
}

for (const [name, { make, logits, text }] of Object.entries(decoderCases)) {
  if (wanted.length === 0 || wanted.includes(name)) await compare(name, make(), logits, text);
}

/** Of encoders: what the tests' reference makes of a checkpoint, in rows. */
interface EncoderCase {
  readonly folder: string;
  readonly rows: (ids: readonly number[]) => readonly ArrayLike<number>[];
}

const encoders: Readonly<Record<string, () => EncoderCase>> = {
  XLMRobertaModel() {
    const { folder, tensorOf } = bertCheckpoint('XLMRobertaModel', 320, { head: /^pooler/ });
    return { folder, rows: (ids) => bertRows(tensorOf, roberta, ids) };
  },
  XLMRobertaForSequenceClassification() {
    const head = /^classifier\.(dense|out_proj)/;
    const changed = { id2label: { 0: 'LABEL_0' }, num_labels: 1 };
    const options = { prefix: 'roberta.', head, changed };
    const { folder, tensorOf } = bertCheckpoint(
      'XLMRobertaForSequenceClassification',
      320,
      options,
    );
    const names = ['classifier.dense', 'classifier.out_proj'] as const;
    return {
      folder,
      rows: (ids) => [[classScore(tensorOf, names, bertRows(tensorOf, roberta, ids)[0] ?? [])]],
    };
  },
  BertForSequenceClassification() {
    const head = /^(pooler\.|classifier\.(weight|bias))/;
    const changed = { id2label: { 0: 'LABEL_0' }, num_labels: 1, pad_token_id: 0 };
    const options = { prefix: 'bert.', head, changed };
    const { folder, tensorOf } = bertCheckpoint('BertForSequenceClassification', 320, options);
    const names = ['pooler.dense', 'classifier'] as const;
    return {
      folder,
      rows: (ids) => [[classScore(tensorOf, names, bertRows(tensorOf, sizes, ids)[0] ?? [])]],
    };
  },
  Qwen3ForSequenceClassification() {
    const { folder, logit } = rankingCheckpoint();
    return { folder, rows: (ids) => [[logit(ids)]] };
  },
  Gemma3TextModel() {
    const checkpoint = randomCheckpoint('Gemma3TextModel');
    return { folder: checkpoint.folder, rows: (ids) => referenceLogits(checkpoint, ids) };
  },
};

for (const [name, make] of Object.entries(encoders)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const { folder, rows } = make();
  const expected = fromPython('rows.py', folder, tokens);
  const reference = rows(tokens).map((row) => Float32Array.from(row));
  const worst = Math.max(
    ...expected.flatMap((row, at) =>
      [...row].map((value, i) => Math.abs(value - (reference[at]?.[i] ?? Number.NaN))),
    ),
  );
  process.stdout.write(`${name}: reference off by ${worst.toExponential(1)}\n`);
}
