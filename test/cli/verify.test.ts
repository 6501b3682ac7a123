import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { defaultModelPath } from '../../src/base/paths.js';
import { jsonOf, paceline } from '../support/cli.js';
import { temporaryFile } from '../support/tiny-model.js';

interface Report {
  readonly identical: boolean;
  readonly draft_models: readonly { readonly path: string; readonly sha256: string }[];
  readonly variations: readonly { readonly variation: string; readonly drafted: number }[];
}

const quick = ['--prompts', '1', '--gen', '8', '--temps', '0', '--chunks', '7'];

test('verify checks the drafters that it is given, and says which files they were', async () => {
  // Under another name nothing lies beside the model, so only the named drafter can be loaded.
  const model = temporaryFile('alone.gguf');
  copyFileSync(defaultModelPath(), model);
  const draft = defaultModelPath().replace(/\.gguf$/, '-mtp.gguf');
  const result = await paceline(['verify', model, '--draft-model', draft, ...quick, '--json']);
  assert.equal(result.code, 0, result.stderr);
  const report = jsonOf(result) as unknown as Report;
  assert.equal(report.identical, true);
  const sha256 = createHash('sha256').update(readFileSync(draft)).digest('hex');
  assert.deepEqual(
    report.draft_models.map((file) => [file.path, file.sha256]),
    [[draft, sha256]],
  );
  const names = report.variations.map(({ variation }) => variation);
  assert.ok(names.includes('draft mtp'), names.join(', '));
  assert.ok(!names.includes('draft dflash'));
});

test('the report for people names model, drafters and machine', async () => {
  const { code, stdout } = await paceline(['verify', 'default', ...quick]);
  assert.equal(code, 0);
  assert.match(stdout, /^sha256 +[0-9a-f]{64}$/m);
  assert.match(stdout, /^drafter +paceline-default-mtp\.gguf, [0-9a-f]{64}$/m);
  assert.match(stdout, /^KV cache +(f16|i16)$/m);
  assert.match(stdout, /^versions +paceline \d/m);
  assert.match(stdout, /^identical: \d+ rows of logits, to the byte$/m);
});
