import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import {
  columnWeights,
  type ImportanceMatrix,
  parseOldFormat,
  readImportance,
  writeImportance,
  writeOldImportance,
} from '../../src/convert/imatrix-file.js';
import { temporaryFile } from '../support/tiny-model.js';

const matrix: ImportanceMatrix = {
  entries: new Map([
    ['blk.1.ffn_up.weight', { sums: Float32Array.of(8, 2, 6), counts: Float32Array.of(4) }],
    [
      'blk.0.ffn_down_exps.weight',
      { sums: Float32Array.of(3, 6, 0, 0, 5, 10), counts: Float32Array.of(3, 0, 5) },
    ],
  ]),
  datasets: ['text.txt'],
  chunkCount: 2,
  chunkSize: 2,
};

test('the GGUF format comes back as it was written', async () => {
  const path = temporaryFile('new.gguf');
  await writeImportance(path, matrix);
  const read = await readImportance(path);
  assert.deepEqual(read.entries, new Map([...matrix.entries].reverse()));
  assert.deepEqual({ ...read, entries: 0 }, { ...matrix, entries: 0 });
});

test('the older format keeps the means', async () => {
  const path = temporaryFile('old.dat');
  await writeOldImportance(path, matrix);
  const read = await readImportance(path);
  assert.deepEqual(read.datasets, ['text.txt']);
  assert.equal(read.chunkCount, 2);
  for (const [name, entry] of matrix.entries) {
    const found = read.entries.get(name);
    assert.ok(found !== undefined);
    assert.equal(found.counts.length, 1);
    assert.deepEqual(columnWeights(found), columnWeights(entry), name);
  }
});

test('matrices without inputs count evenly', () => {
  const weights = columnWeights({
    sums: Float32Array.of(3, 6, 0, 0),
    counts: Float32Array.of(3, 0),
  });
  assert.deepEqual([...weights], [1, 2, 1, 1]);
});

test('every cut and every changed byte of the older format is read or refused', async () => {
  const path = temporaryFile('whole.dat');
  await writeOldImportance(path, matrix);
  const whole = readFileSync(path);
  const attempt = (bytes: Buffer) => {
    try {
      parseOldFormat(bytes, 'fuzzed');
    } catch (error) {
      assert.ok(PacelineError.is(error) && error.code === 'broken-file', String(error));
      return false;
    }
    return true;
  };
  assert.ok(attempt(whole));
  let refused = 0;
  for (let length = 0; length < whole.length; length++) {
    if (!attempt(whole.subarray(0, length))) refused++;
  }
  assert.ok(refused > whole.length - 10);
  for (let at = 0; at < whole.length; at++) {
    for (const value of [0x00, 0x7f, 0x80, 0xff]) {
      const changed = Buffer.from(whole);
      changed[at] = value;
      attempt(changed);
    }
  }
});

test('files that are no importance matrix are refused', async () => {
  const codeOf = async (path: string) => {
    const error = await readImportance(path).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    return PacelineError.is(error) ? error.code : error;
  };
  const path = temporaryFile('none.dat');
  writeFileSync(path, 'a text that is not a matrix at all');
  assert.equal(await codeOf(path), 'broken-file');
  assert.equal(await codeOf(temporaryFile('missing.dat')), 'model-not-found');
  const infinite = new Map([
    ['a', { sums: Float32Array.of(Infinity), counts: Float32Array.of(1) }],
  ]);
  await writeImportance(path, { ...matrix, entries: infinite });
  assert.equal(await codeOf(path), 'bad-weights');
});
