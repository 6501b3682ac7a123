/** The same where our native library is missing: everything on ggml's own operations. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { nativeKernels } from '../../src/ggml/native/library.js';
import { GgmlType } from '../../src/ggml/types.js';
import { loadModel } from '../../src/index.js';
import { Runner, withRandomModel } from './runner.js';
import { describeOracle, nativeOnly, withoutKernels } from './suite.js';

process.env.PACELINE_CPU = 'ggml'; // read when the first model is loaded

it('runs without native kernels', () => {
  assert.equal(nativeKernels().kernels, undefined);
});

it('computes nothing over a cache that ggml would read as other numbers', async () => {
  await withRandomModel({ architecture: 'llama', layers: 1 }, async (path) => {
    using runner = await Runner.open(path, { cacheType: GgmlType.I16 });
    await assert.rejects(runner.decode([1, 2, 3]), { code: 'platform' });
    await assert.rejects(loadModel(path, { threads: 1, kvType: 'i16' }), { code: 'usage' });
    await using model = await loadModel(path, { threads: 1, contextLength: 32 });
    assert.equal(model.info.kvType, 'f16');
  });
});

it('refuses linear attention, which ggml’s operations cannot undo', async () => {
  for (const architecture of nativeOnly) {
    await withRandomModel({ architecture, layers: 1 }, async (path) => {
      await assert.rejects(loadModel(path, { threads: 1 }), { code: 'platform' });
    });
  }
});

describeOracle({ types: [GgmlType.F32], extent: 'short', architectures: withoutKernels });
