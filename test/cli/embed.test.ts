/** `paceline embed` and `paceline rank` as scripts call them, against the library. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { loadModel } from '../../src/engine/load.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { jsonOf, paceline, refusal } from '../support/cli.js';
import { temporaryFile } from '../support/tiny-model.js';

const encoder = temporaryFile('encoder.gguf');
const reranker = temporaryFile('reranker.gguf');
const shape = {
  architecture: 'bert',
  layers: 2,
  embedding: 64,
  heads: 2,
  inner: 64,
  context: 128,
} as const;

before(async () => {
  await writeGguf(encoder, randomModel(shape));
  await writeGguf(reranker, randomModel({ ...shape, classes: { count: 1 } }));
});

test('vectors are those of the library, from arguments, files, lines and stdin alike', async () => {
  const texts = ['one text', 'another', ''];
  await using model = await loadModel(encoder, { threads: 1 });
  const { vectors, tokens } = await model.embed(texts);
  const wanted = vectors.map((vector) => [...vector]);
  const file = temporaryFile('one.txt');
  const lines = temporaryFile('lines.txt');
  writeFileSync(file, 'one text');
  writeFileSync(lines, 'another\r\n\r\n');
  const calls = [
    await paceline(['embed', encoder, '--json', ...texts]),
    await paceline(['embed', encoder, '--json', '--file', file, '--lines', lines]),
    await paceline(['embed', encoder, '--json'], { input: `${texts.join('\n')}\n` }),
  ];
  for (const call of calls) {
    assert.equal(call.code, 0, call.stderr);
    const answer = jsonOf(call) as { vectors: number[][]; tokens: number; pooling: string };
    assert.deepEqual(
      answer.vectors.map((vector) => vector.map(Math.fround)),
      wanted,
    );
    assert.equal(answer.tokens, tokens);
    assert.equal(answer.pooling, 'mean');
  }
  const plain = await paceline(['embed', encoder, 'one text', '--dimensions', '3']);
  const numbers = plain.stdout.trim().split(' ').map(Number);
  assert.equal(numbers.length, 3);
  assert.ok(Math.abs(Math.hypot(...numbers) - 1) < 1e-6);
  assert.equal(plain.stdout.split('\n').length, 2);
});

test('a text model makes vectors, too', async () => {
  const { code, stdout, stderr } = await paceline(['embed', 'default', 'const a', '--json']);
  assert.equal(code, 0, stderr);
  assert.equal((JSON.parse(stdout) as { pooling: string }).pooling, 'last');
});

test('documents are ranked as the library ranks them', async () => {
  const documents = ['one', 'two and more words', 'three'];
  await using model = await loadModel(reranker, { threads: 1 });
  const wanted = await model.rank('query', documents);
  const answer = await paceline(['rank', reranker, 'query', '--json', ...documents]);
  assert.equal(answer.code, 0, answer.stderr);
  assert.deepEqual((jsonOf(answer) as { results: unknown }).results, wanted.results);
  const file = temporaryFile('documents.txt');
  writeFileSync(file, documents.join('\n'));
  const top = await paceline(['rank', reranker, 'query', '--lines', file, '--top', '1']);
  const best = wanted.results[0]?.index ?? 0;
  assert.match(
    top.stdout,
    new RegExp(`^-?[\\d.e-]+ +\\S+:${best + 1} +${documents[best]}\n$`),
    top.stdout,
  );
});

test('models that can not, and texts that are not there, are typed errors', async () => {
  const cases = [
    [['rank', 'default', 'query', 'a'], 'platform', /no classifier/],
    [['rank', encoder, 'query', 'a'], 'platform', /no classifier/],
    [['embed', reranker, 'a'], 'platform', /ranks texts/],
    [['embed', encoder, 'a', '--dimensions', '999'], 'usage', /64 dimensions/],
    [['embed', encoder, 'long '.repeat(300)], 'context-overflow', /\d/],
    [['embed', encoder, 'a', '--pooling', 'sum'], 'usage', /--pooling/],
  ] as const;
  for (const [args, code, says] of cases) {
    const error = await refusal(args);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, says);
  }
  for (const [args, says] of [
    [['embed', encoder], /no text/],
    [['rank', reranker, 'query'], /no document/],
  ] as const) {
    const result = await paceline([...args, '--json']);
    const { error } = jsonOf(result) as { error: { code: string; message: string } };
    assert.deepEqual([result.code, error.code], [2, 'usage']);
    assert.match(error.message, says);
  }
});
