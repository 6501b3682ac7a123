import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { jsonOf, paceline } from '../support/cli.js';
import { temporaryFile, tinyModel } from '../support/tiny-model.js';

test('quantize writes a model that runs', async () => {
  const output = temporaryFile('tiny-q8.gguf');
  const args = ['quantize', await tinyModel(), 'q8_0', output];
  const first = await paceline([...args, '--json']);
  assert.equal(first.code, 0, first.stderr);
  const result = jsonOf(first);
  assert.equal(result.mix, 'Q8_0');
  assert.ok((result.bits_per_weight as number) < 9);
  const inspected = jsonOf(await paceline(['inspect', output, '--json']));
  assert.ok(JSON.stringify(inspected).includes('Q8_0'));
  const ran = await paceline(['run', output, 'a', '-n', '2', '--raw']);
  assert.equal(ran.code, 0, ran.stderr);

  const again = await paceline(args);
  assert.equal(again.code, 2);
  assert.match(again.stderr, /--force/);
  const forced = await paceline([...args, '--force']);
  assert.equal(forced.code, 0, forced.stderr);
});

test('quantize --dry-run says sizes and writes nothing', async () => {
  const output = temporaryFile('dry.gguf');
  const result = await paceline([
    ...['quantize', await tinyModel(), 'Q4_K_M', output, '--dry-run'],
    ...['--tensor-type', 'ffn_down=q8_0'],
  ]);
  assert.equal(result.code, 0, result.stderr);
  assert.match(result.stdout, /Q8_0/);
  assert.ok(!existsSync(output));
  assert.ok(statSync(await tinyModel()).size > 0);
});

for (const args of [
  ['quantize', 'default'],
  ['quantize', 'default', 'q99'],
  ['quantize', 'default', 'q4_0', '--tensor-type', 'ffn_down'],
  ['quantize', 'default', 'q4_0', '--tensor-type', '(=q8_0'],
  ['quantize', 'default', 'q4_0', '--output-type', 'i32'],
]) {
  test(`wrong usage: ${args.join(' ')}`, async () => {
    const result = await paceline(args);
    assert.equal(result.code, 2, result.stderr);
    assert.match(result.stderr, /^hint: \S/m);
  });
}
