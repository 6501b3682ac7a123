/** Checkpoints of Qwen 3 that rank: converted, they give the scores that the checkpoint's logits say. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { loadModel } from '../../src/engine/load.js';
import { pairTokens } from '../../src/engine/rank.js';
import { GgmlType } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import { Runner } from '../oracle/runner.js';
import { temporaryFile } from '../support/tiny-model.js';
import { randomCheckpoint } from './checkpoint.js';
import { answeringCheckpoint, no, rankingCheckpoint, yes } from './ranking-checkpoint.js';
import { referenceLogits } from './reference.js';

const query = 'CABBAGE';
const documents = ['DEAD BEEF', 'a'];

/** Holds scores of documents against what a reference says of the same tokens. */
async function checkScores(
  output: string,
  expected: (tokens: readonly number[]) => number,
): Promise<void> {
  await using file = await readGguf(output);
  await using model = await loadModel(output, { threads: 1 });
  const template = file.string('tokenizer.chat_template.rerank');
  const { results } = await model.rank(query, documents);
  for (const { index, score } of results) {
    const tokens = pairTokens(model.tokenizer, template, query, documents[index] as string);
    using runner = await Runner.open(output, { cacheType: GgmlType.F32, capacity: 512 });
    const [exact = 9] = (await runner.decode(tokens)).at(-1) ?? [];
    const truth = expected(tokens);
    assert.ok(Math.abs(exact - truth) < 1e-5, `${exact}, not ${truth}`);
    // The engine's own cache is coarser.
    assert.ok(Math.abs(score - truth) < 2e-3, `${score}, not ${truth}`);
  }
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

for (const tie_word_embeddings of [true, false]) {
  it(`answers yes or no, ${tie_word_embeddings ? 'tied' : 'with a head'}`, async () => {
    const checkpoint = answeringCheckpoint({
      config: { tie_word_embeddings, max_position_embeddings: 512 },
    });
    writeFileSync(join(checkpoint.folder, 'README.md'), '---\n---\n# Qwen3-Reranker-0.6B\n');
    const output = temporaryFile(`ranker-${tie_word_embeddings}.gguf`);
    await convertCheckpoint({ checkpoint: checkpoint.folder, output });
    await using file = await readGguf(output);
    assert.deepEqual(file.tensors.get('cls.output.weight')?.shape, [64, 2]);
    assert.equal(file.tensors.has('output.weight'), false);
    assert.equal(file.integer('qwen3.pooling_type'), 4);
    assert.deepEqual(file.metadata.get('qwen3.classifier.output_labels')?.value, ['yes', 'no']);
    await checkScores(output, (tokens) => {
      const logits = referenceLogits(checkpoint, tokens).at(-1) ?? [];
      return sigmoid((logits[yes] as number) - (logits[no] as number));
    });
  });
}

it('classifies by a row of its own', async () => {
  const { folder, logit } = rankingCheckpoint();
  const output = temporaryFile('ranker-class.gguf');
  await convertCheckpoint({ checkpoint: folder, output });
  await checkScores(output, (tokens) => sigmoid(logit(tokens)));
});

it('is known by the name of its folder, and refused where it cannot answer or tells classes apart', async () => {
  const { folder } = randomCheckpoint('Qwen3ForCausalLM');
  const named = join(temporaryFile('named'), 'Qwen3-Reranker-0.6B');
  mkdirSync(temporaryFile('named'));
  renameSync(folder, named);
  const output = temporaryFile('refused.gguf');
  await assert.rejects(convertCheckpoint({ checkpoint: named, output }), /"yes" is no token/);
  const classes = rankingCheckpoint({ num_labels: 3 });
  await assert.rejects(
    convertCheckpoint({ checkpoint: classes.folder, output }),
    /classifier of 3 classes/,
  );
});
