import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { randomCheckpoint } from '../convert/checkpoint.js';
import { jsonOf, paceline } from '../support/cli.js';
import { temporaryFile } from '../support/tiny-model.js';

test('convert makes a model that runs, in its own type and quantised', async () => {
  const { folder } = randomCheckpoint('Qwen3ForCausalLM', { type: 'BF16' });
  const output = temporaryFile('from-checkpoint.gguf');
  const result = jsonOf(await paceline(['convert', folder, output, '--json']));
  assert.equal(result.architecture, 'qwen3');
  assert.equal(result.type, 'BF16');
  const ran = await paceline(['run', output, 'a', '-n', '2', '--raw']);
  assert.equal(ran.code, 0, ran.stderr);

  const again = await paceline(['convert', folder, output]);
  assert.equal(again.code, 2);
  assert.match(again.stderr, /--force/);
  const small = await paceline(['convert', folder, output, '--quantize', 'q8_0', '--force']);
  assert.equal(small.code, 0, small.stderr);
  assert.match(small.stdout, /qwen3, .*Q8_0/);
});

test('convert refuses what it does not know with the code of the contract', async () => {
  const output = temporaryFile('never.gguf');
  const { folder } = randomCheckpoint('LlamaForCausalLM', {
    config: { architectures: ['MysteryForCausalLM'] },
  });
  assert.equal((await paceline(['convert', folder, output])).code, 6);
  assert.equal((await paceline(['convert', join(folder, 'nothing'), output])).code, 3);
  assert.equal((await paceline(['convert', folder, output, '--type', 'q4_0'])).code, 2);
  assert.ok(!existsSync(output));
});
