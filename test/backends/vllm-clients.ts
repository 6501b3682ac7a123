/**
 * The official clients over vLLM, which has the embedded model and a random one whose template opens a
 * thought. What fails has to be named in conformance-reasons.json; the run writes the documentation's table.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { defaultModelPath } from '../../src/base/paths.js';
import { repository } from '../support/repository.js';
import { temporaryFile } from '../support/tiny-model.js';
import { writeCheckpoint } from './gguf-checkpoint.js';
import { vllmCheckpoint } from './vllm-checkpoint.js';
import { VllmProcess } from './vllm-process.js';

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
  const child = spawn(process.execPath, ['scripts/backends.mjs', 'vllm'], {
    cwd: repository,
    stdio: 'inherit',
    env: { ...process.env, PACELINE_TEST_VLLM: instances.map(({ url }) => url).join(',') },
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  assert.equal(code, 0);
});
