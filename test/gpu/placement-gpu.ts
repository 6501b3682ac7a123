/** The command line on a card: the CPU's text, whole and in part, and clear answers where it cannot be. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { jsonOf, paceline } from '../support/cli.js';

const card = 'Vulkan0';
const timeoutMs = 120_000;

const run = (...flags: readonly string[]) =>
  paceline(
    ['run', 'default', 'export function ', '-n', '16', '--temp', '0', '--ctx', '512', ...flags],
    { timeoutMs },
  );

/** Tokens and device of a run that went well. */
async function textOf(...flags: readonly string[]) {
  const result = await run('--json', '--draft', 'none', ...flags);
  assert.equal(result.code, 0, result.stderr);
  const { tokens, model } = jsonOf(result) as { tokens: number[]; model: { device?: string } };
  return { tokens, device: model.device ?? '', stderr: result.stderr };
}

describe('run --device', () => {
  it('says on a card what it says on the CPU', async () => {
    const cpu = await textOf('--device', 'cpu', '--kv', 'f16');
    assert.equal(cpu.tokens.length, 16);
    const whole = await textOf('--device', card);
    assert.match(whole.device, /^Vulkan0 .* with 7 of 7 layers/);
    assert.match(whole.stderr, /^device: Vulkan0/m);
    assert.deepEqual(whole.tokens, cpu.tokens);
    const half = await textOf('--device', card, '--gpu-layers', '3');
    assert.match(half.device, /with 3 of 7 layers/);
    assert.deepEqual(half.tokens, cpu.tokens);
  });

  it('auto leaves a software driver alone, and says so', async () => {
    const { device } = await textOf('--device', 'auto');
    assert.match(device, /^CPU: Vulkan0 \(llvmpipe.*\) is no hardware/);
  });

  it('refuses a device that is not there, and names those that are', async () => {
    const { code, stderr } = await run('--device', 'Vulkan7');
    assert.equal(code, 2);
    assert.match(stderr, /There is no device "Vulkan7"/);
    assert.match(stderr, /auto, cpu, Vulkan0/);
  });

  it('refuses more layers than there are', async () => {
    const { code, stderr } = await run('--device', card, '--gpu-layers', '8');
    assert.equal(code, 2);
    assert.match(stderr, /has 7 layers, not 8/);
  });

  it('refuses layers that do not fit, and says how many would', async () => {
    const { code, stderr } = await run(
      ...['--device', card, '--gpu-layers', '7', '--ctx', '2000000'],
    );
    assert.equal(code, 4);
    assert.match(stderr, /7 layers do not fit into the \d+ MiB that Vulkan0 can take/);
    assert.match(stderr, /--gpu-layers [1-6]\)/);
  });

  it('refuses a cache that only the CPU has', async () => {
    const { code, stderr } = await run('--device', card, '--kv', 'i16');
    assert.equal(code, 2);
    assert.match(stderr, /i16 is for the CPU/);
  });
});
