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
import { type Checkpoint, randomCheckpoint } from '../checkpoint.js';
import { rankingCheckpoint } from '../ranking-checkpoint.js';
import { referenceLogits } from '../reference.js';
import { oracleCases } from './cases.js';

const [python = 'python3', ...wanted] = process.argv.slice(2);
const tokens = [7, 300, 12, 45, 45, 201, 3, 99, 150, 31, 77, 260, 8];
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

for (const [name, { of, make, logits, text }] of Object.entries(oracleCases)) {
  if (wanted.length === 0 || wanted.includes(of)) await compare(name, make(), logits, text);
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
