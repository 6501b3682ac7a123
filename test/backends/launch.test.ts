/**
 * The whole argument vectors of engines that no machine of ours can start: what is written here is what a
 * card would be given.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { DeviceFamily } from '../../src/backends/descriptor.js';
import { launchPlan } from '../../src/backends/managed/launch.js';
import { backendNamed } from '../../src/backends/registry.js';

const values = { model: 'Qwen/Qwen3-8B', servedName: 'Qwen3-8B', host: '127.0.0.1', port: 9001 };
const limits = { contextLength: 8192, slots: 16, key: 'secret' };

function vector(name: string, program: readonly [string, ...string[]], device: DeviceFamily) {
  const extra = ['--tensor-parallel-size', '2'];
  return launchPlan(backendNamed(name), program, { ...values, ...limits, device }, extra);
}

const common = ['--served-model-name', 'Qwen3-8B', '--host', '127.0.0.1', '--port', '9001'];

for (const [device, program] of [
  ['cuda', ['/data/vllm/bin/python', '-m', 'vllm.entrypoints.openai.api_server']],
  ['rocm', ['/data/vllm/bin/vllm-server']],
] as const) {
  it(`vLLM on ${device}`, () => {
    const plan = vector('vllm', program, device);
    assert.equal(plan.program, program[0]);
    assert.deepEqual(plan.arguments, [
      ...program.slice(1),
      ...['--model', 'Qwen/Qwen3-8B', ...common],
      ...['--enable-prefix-caching', '--enable-prompt-tokens-details', '--no-enable-log-requests'],
      ...['--max-model-len', '8192', '--max-num-seqs', '16', '--tensor-parallel-size', '2'],
    ]);
    assert.equal(plan.environment.VLLM_API_KEY, 'secret');
  });
}

it('SGLang on cuda, which takes no key where others can’t read it', () => {
  const program = ['/data/sglang/bin/python', '-m', 'sglang.launch_server'] as const;
  const plan = vector('sglang', program, 'cuda');
  assert.deepEqual(plan.arguments, [
    ...['-m', 'sglang.launch_server', '--model-path', 'Qwen/Qwen3-8B', ...common],
    ...['--enable-metrics', '--enable-cache-report', '--context-length', '8192'],
    ...['--max-running-requests', '16', '--tensor-parallel-size', '2'],
  ]);
  assert.ok(!JSON.stringify(plan).includes('secret'));
});

it('threads are an argument, variables on processors, or refused', () => {
  const plan = (name: string, device: DeviceFamily) =>
    launchPlan(backendNamed(name), ['engine'], { ...values, device, threads: 3 });
  assert.deepEqual(plan('llama-server', 'cpu').arguments.slice(-2), ['--threads', '3']);
  const { OMP_NUM_THREADS, VLLM_CPU_OMP_THREADS_BIND } = plan('vllm', 'cpu').environment;
  assert.deepEqual([OMP_NUM_THREADS, VLLM_CPU_OMP_THREADS_BIND], ['3', 'nobind']);
  assert.throws(() => plan('vllm', 'cuda'), /--threads: vLLM takes no number of threads/);
  assert.throws(() => plan('sglang', 'cuda'), /--threads: SGLang/);
});
