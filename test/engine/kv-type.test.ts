/** The type of the KV cache: chosen before weights are read, told afterwards, refused by name. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { usualKvType } from '../../src/cache/kv-type.js';
import { nativeKernels } from '../../src/ggml/native/library.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { type KvType, loadModel, PacelineError } from '../../src/index.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';

const shape = { architecture: 'llama', layers: 2, embedding: 64, heads: 4, kvHeads: 2 } as const;
const options = { threads: 1, contextLength: 32 };

async function modelWith(headDim: number): Promise<string> {
  const path = temporaryFile(`heads-of-${headDim}.gguf`);
  await writeGguf(path, randomModel({ ...shape, headDim, inner: 96 }));
  return path;
}

describe('the KV type of a loaded model', () => {
  it('is the usual one unless another is asked for, and counted as it is stored', async () => {
    const path = await modelWith(64);
    const rows = { heads: 2, keys: 128, values: 128 };
    const usual = usualKvType([rows, rows], nativeKernels().kernels?.path);
    // Two layers of keys and values, two heads of 64 elements each.
    const elements = 2 * 2 * 2 * 64;
    const bytes: Readonly<Record<KvType, number>> = {
      f16: 2 * elements,
      q8_0: (34 * elements) / 32,
      f32: 4 * elements,
      i16: 2 * elements + 2 * 2 * 2 * 4,
    };
    for (const kvType of [undefined, 'f16', 'q8_0', 'f32', 'i16'] as const) {
      await using model = await loadModel(path, kvType ? { ...options, kvType } : options);
      const expected = kvType ?? usual;
      assert.equal(model.info.kvType, expected);
      assert.equal(model.info.kvBytesPerToken, bytes[expected]);
      const { state } = model.runtime.createText();
      const stored = bytes[expected] * (expected === 'i16' ? 64 : 32);
      assert.ok(state.bytes >= stored && state.bytes < stored + 1024);
    }
  });

  it('cannot be i16 with other heads, which is said before weights are read', async () => {
    const path = await modelWith(48);
    let progress = 0;
    const onProgress = () => {
      progress++;
    };
    await assert.rejects(
      loadModel(path, { ...options, kvType: 'i16', onProgress }),
      (error) =>
        PacelineError.is(error) &&
        error.code === 'usage' &&
        /i16.* 48 /.test(error.message) &&
        /f16/.test(error.hint ?? ''),
    );
    assert.equal(progress, 0);
    await using model = await loadModel(path, options);
    assert.equal(model.info.kvType, 'f16');
  });
});
