/** Checkpoints of LFM2: converted, their logits are those of a reference that reads the checkpoint. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { GgmlType } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import { Runner, worstDifference } from '../oracle/runner.js';
import { temporaryFile } from '../support/tiny-model.js';
import { type CheckpointOptions, randomCheckpoint } from './checkpoint.js';
import { lfm2Logits } from './lfm2-reference.js';

const tokens = [7, 300, 12, 45, 45, 201, 3, 99, 150, 31, 77, 260, 8];

const cases: Readonly<Record<string, CheckpointOptions>> = {
  'layers by their kinds, in F32': {},
  'layers by their numbers, in F16': {
    type: 'F16',
    config: { layer_types: undefined, full_attn_idxs: [1, 3] },
  },
  'a network of two thirds, in multiples': {
    config: {
      ...{ block_auto_adjust_ff_dim: true, block_ff_dim: 200, block_multiple_of: 32 },
      // Of 133 the next multiple; what the test makes the tensors of.
      intermediate_size: 160,
    },
  },
};

for (const [name, options] of Object.entries(cases)) {
  it(name, async () => {
    const checkpoint = randomCheckpoint('Lfm2ForCausalLM', options);
    const path = temporaryFile(`lfm2-${Math.random()}.gguf`);
    const { architecture } = await convertCheckpoint({
      checkpoint: checkpoint.folder,
      output: path,
    });
    assert.equal(architecture, 'lfm2');
    using runner = await Runner.open(path, { cacheType: GgmlType.F32, capacity: 64 });
    const expected = lfm2Logits(checkpoint, tokens).map((row) => Float32Array.from(row));
    const worst = worstDifference(await runner.decode(tokens), expected);
    assert.ok(worst < (options.type === 'F16' ? 2e-3 : 1e-4), String(worst));
  });
}

for (const fused of [false, true]) {
  it(`experts ${fused ? 'in one tensor' : 'one by one'}, behind a layer with a network`, async () => {
    const checkpoint = randomCheckpoint('Lfm2MoeForCausalLM', { fused });
    const path = temporaryFile(`lfm2-moe-${fused}.gguf`);
    const { architecture } = await convertCheckpoint({
      checkpoint: checkpoint.folder,
      output: path,
    });
    assert.equal(architecture, 'lfm2moe');
    using runner = await Runner.open(path, { cacheType: GgmlType.F32, capacity: 64 });
    const expected = lfm2Logits(checkpoint, tokens).map((row) => Float32Array.from(row));
    const worst = worstDifference(await runner.decode(tokens), expected);
    assert.ok(worst < 1e-4, String(worst));
  });
}

it('keeps kernels of convolutions in F32 and quantises the rest', async () => {
  const { folder } = randomCheckpoint('Lfm2ForCausalLM');
  const path = temporaryFile('lfm2-q8.gguf');
  await convertCheckpoint({ checkpoint: folder, output: path, type: 'Q8_0' });
  await using file = await readGguf(path);
  assert.equal(file.tensors.get('blk.0.shortconv.conv.weight')?.type, GgmlType.F32);
  assert.equal(file.tensors.get('blk.0.shortconv.in_proj.weight')?.type, GgmlType.Q8_0);
  assert.equal(file.tensors.get('blk.1.attn_q.weight')?.type, GgmlType.Q8_0);
});

it('refuses what it can not express, by name', async () => {
  for (const [config, says] of [
    [{ conv_bias: true }, /conv_bias/],
    [{ layer_types: ['conv', 'window', 'conv', 'conv'] }, /layer_types/],
    [{ layer_types: undefined }, /layer_types/],
    [{ rope_scaling: { rope_type: 'yarn', factor: 2 } }, /yarn/],
  ] as const) {
    const { folder } = randomCheckpoint('Lfm2ForCausalLM', { config });
    const output = temporaryFile(`refused-${Math.random()}.gguf`);
    await assert.rejects(convertCheckpoint({ checkpoint: folder, output }), says);
  }
  for (const [config, says] of [
    [{ norm_topk_prob: false }, /norm_topk_prob false/],
    [{ routed_scaling_factor: 2 }, /routed_scaling_factor 2/],
    [{ num_experts: 6 }, /Expert 5 of blk\.1/],
  ] as const) {
    const checkpoint = randomCheckpoint('Lfm2MoeForCausalLM');
    writeFileSync(
      join(checkpoint.folder, 'config.json'),
      JSON.stringify({ ...checkpoint.config, ...config }),
    );
    const output = temporaryFile(`refused-${Math.random()}.gguf`);
    await assert.rejects(convertCheckpoint({ checkpoint: checkpoint.folder, output }), says);
  }
});
