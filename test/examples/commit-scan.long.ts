/** A scan of 10,000 commits in little memory: a process with a heap of 40 MB gets to its end. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { promisify } from 'node:util';
import { makeRepository } from '../../examples/commit-scan/evaluation/repository.js';
import { repository } from '../support/repository.js';
import { temporaryFile } from '../support/tiny-model.js';

it('scans 10,000 commits with a heap that could not hold their diffs', async () => {
  const folder = temporaryFile('many');
  const labels = await makeRepository({ folder, seed: 3, commits: 10_000 });
  assert.ok(labels.size >= 10_000);
  const out = temporaryFile('many-out');
  const program = join(repository, 'examples/commit-scan/main.ts');
  const args = ['--max-old-space-size=40', '--import', 'tsx', program, 'scan', folder];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...args, '--signals-only', '--out', out],
    { cwd: repository, maxBuffer: 2 ** 24 },
  );
  assert.equal((JSON.parse(stdout) as { commits: number }).commits, labels.size);
  const lines = readFileSync(join(out, 'journal.jsonl'), 'utf8').trimEnd().split('\n');
  assert.equal(lines.length, labels.size + 1);
});
