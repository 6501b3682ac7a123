import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { jsonOf, paceline } from '../support/cli.js';
import { temporaryFile } from '../support/tiny-model.js';

function textFile(): string {
  const path = temporaryFile('letters.txt');
  writeFileSync(path, 'export function name(a: number): number { return a + 1; }\n'.repeat(40));
  return path;
}

test('imatrix, quantize with it and --check, perplexity', async () => {
  const text = textFile();
  const matrix = temporaryFile('letters.dat');
  const common = ['--ctx', '64', '--chunks', '3', '--json'];
  const measured = await paceline([
    'imatrix',
    'default',
    '--text',
    text,
    '--output',
    matrix,
    ...common,
  ]);
  assert.equal(measured.code, 0, measured.stderr);
  assert.equal(jsonOf(measured).chunks, 3);

  const converted = temporaryFile('letters.gguf');
  const conversion = ['imatrix', '--convert', matrix, '--output', converted, '--json'];
  assert.equal(jsonOf(await paceline(conversion)).tensors, jsonOf(measured).tensors);

  const output = temporaryFile('default-q3.gguf');
  const quantised = await paceline([
    ...['quantize', 'default', 'q3_k_m', output, '--allow-requantize'],
    ...['--imatrix', converted, '--json'],
  ]);
  assert.equal(quantised.code, 0, quantised.stderr);
  assert.ok((jsonOf(quantised).weighted as number) > 40);

  const compared = await paceline([
    ...['perplexity', output, '--text', text, '--against', 'default'],
    ...common,
  ]);
  assert.equal(compared.code, 0, compared.stderr);
  const { against } = jsonOf(compared) as { against: { divergence: { mean: number } } };
  assert.ok(against.divergence.mean > 0);
});

for (const args of [
  ['imatrix', 'default'],
  ['imatrix', '--text', 'x'],
  ['imatrix', 'default', '--convert', 'x.dat'],
  ['perplexity', 'default'],
  ['perplexity', 'default', '--text', 'missing.txt'],
  ['perplexity', 'default', '--text', 'README.md', '--against-kv', 'q9'],
]) {
  test(`wrong usage: ${args.join(' ')}`, async () => {
    const result = await paceline(args);
    assert.equal(result.code, 2, result.stderr);
    assert.match(result.stderr, /^hint: \S/m);
  });
}
