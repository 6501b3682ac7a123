/**
 * The official clients over vLLM, which has the embedded model and a random one whose template opens a
 * thought. What fails has to be named in the table of the documentation, which the run writes again.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { defaultModelPath } from '../../src/base/paths.js';
import { repository } from '../support/repository.js';
import { temporaryFile } from '../support/tiny-model.js';
import { writeCheckpoint } from './gguf-checkpoint.js';
import { vllmCheckpoint } from './vllm-checkpoint.js';
import { VllmProcess } from './vllm-process.js';

interface ClientTest {
  readonly name: string;
  readonly passed: boolean;
}

const instances: VllmProcess[] = [];

before(async () => {
  const folder = temporaryFile('default');
  await writeCheckpoint(defaultModelPath(), folder);
  // Calls that the model may make or not need a parser, thought too.
  const tools = ['--enable-auto-tool-choice', '--tool-call-parser', 'hermes'];
  const thought = ['--reasoning-parser', 'qwen3'];
  const start = async (...given: Parameters<typeof VllmProcess.start>): Promise<void> => {
    instances.push(await VllmProcess.start(...given));
  };
  await start(folder, ['--dtype', 'float32', ...tools], 'default');
  await start(vllmCheckpoint({ thinks: true }), [...tools, ...thought], 'thinking');
});
after(async () => {
  for (const instance of instances) await instance[Symbol.asyncDispose]();
});

test('the official clients pass, but for what the documentation names', async () => {
  const known = knownFailures();
  const child = spawn(process.execPath, ['scripts/backends.mjs', 'vllm'], {
    cwd: repository,
    stdio: 'inherit',
    env: { ...process.env, PACELINE_TEST_VLLM: instances.map(({ url }) => url).join(',') },
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  assert.equal(code, 0);
  const results = JSON.parse(
    readFileSync(join(repository, '.cache/backends/vllm.json'), 'utf8'),
  ) as readonly ClientTest[];
  assert.ok(results.length > 0);
  const failures = results.filter(({ passed }) => !passed).map(({ name }) => name);
  assert.deepEqual(
    failures.filter((name) => !known.includes(name)),
    [],
  );
});

/** Tests with a `no` in vLLM's column of the documentation's table. */
function knownFailures(): readonly string[] {
  const text = readFileSync(join(repository, 'docs/upstreams.md'), 'utf8');
  const [, table = ''] = /<!-- conformance:begin -->(.*)<!-- conformance:end -->/s.exec(text) ?? [];
  const rows = table
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|')));
  const column = rows[0]?.indexOf('vllm') ?? -1;
  return rows.flatMap((row) => (column > 0 && row[column] === 'no' ? [row[1] as string] : []));
}
