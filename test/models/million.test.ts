/**
 * DeepSeek V4 at a million positions: a small model whose rows of blocks were filled as if it had read so many tokens
 * decodes behind them, and finds a block by its key; and what its state then takes is what the header promises.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { writeTensor } from '../../src/ggml/allocation.js';
import { GgmlType } from '../../src/ggml/types.js';
import { cacheLayers, memoryNeed } from '../../src/gguf/kv-layout.js';
import { readGguf } from '../../src/gguf/reader.js';
import { randomNormal } from '../../src/synthetic/random-model.js';
import { Runner, withRandomModel } from '../oracle/runner.js';

const million = 1_000_000;
const capacity = million + 192;
const form = {
  ...{ queryRank: 32, rotated: 8, window: 128, ratios: [4, 128, 0], outputGroups: 1 },
  ...{ index: { heads: 2, keyLength: 16, most: 512 }, outputRank: 32, hashed: 1, limit: 10 },
};
const options = {
  ...{ architecture: 'deepseek4', layers: 3, embedding: 64, heads: 2, headDim: 32, inner: 32 },
  experts: [4, 2],
  ...{ context: capacity, deepseek4: form },
} as const;

it('decodes behind a million positions', async (t) => {
  await withRandomModel(options, async (path) => {
    using runner = await Runner.open(path, { capacity, cacheType: GgmlType.F16 });
    const { state, backend } = runner;
    // Half-precision numbers of rows that were never computed, the same in every run.
    const random = randomNormal(7);
    const numbers = Float32Array.from({ length: 1 << 16 }, random);
    const noise = Uint16Array.from(numbers, (value) => {
      // Between 1 and 2, or -2 and -1: sign, exponent of 1, and ten bits.
      const bits = Math.min(1023, Math.floor(Math.abs(value) * 341));
      return (value < 0 ? 0x8000 : 0) | 0x3c00 | bits;
    });
    const bytes = new Uint8Array(noise.buffer);
    for (const layer of [0, 1]) {
      for (const tensor of state.blocks(layer)) {
        for (let at = 0; at < tensor.bytes; at += bytes.length) {
          writeTensor(
            backend,
            tensor,
            bytes.subarray(0, Math.min(bytes.length, tensor.bytes - at)),
            at,
          );
        }
      }
    }
    for (const layer of [0, 1, 2]) {
      const { k } = state.layer(layer);
      const window = bytes.subarray(0, 256 * k.strides[1]);
      writeTensor(backend, k, window, (million - 256) * k.strides[1]);
    }
    // Frontiers without logged rows: what was folded is their tail.
    const tails = [7 * 4 * (32 + 16), 127 * 2 * 32];
    const fixed = new Uint8Array(4 + 4 * (tails[0] as number) + 4 * (tails[1] as number));
    new Float32Array(fixed.buffer, 4).set(numbers.subarray(0, (fixed.length - 4) / 4));
    state.resume(million, fixed);
    assert.equal(state.length, million);

    const tokens = Array.from({ length: 140 }, (_, at) => (at * 97 + 11) % 320);
    const first = await runner.decode(tokens.slice(0, 1));
    assert.ok(first[0]?.every(Number.isFinite));
    const rest = await runner.decode(tokens.slice(1));
    assert.equal(state.length, million + 140);
    // The same bytes in other chunks, which end inside blocks; the last one is past a block of 128.
    state.resume(million, fixed);
    const again: Float32Array[] = [];
    for (let at = 0; at < tokens.length; at += 23) {
      again.push(...(await runner.decode(tokens.slice(at, at + 23))));
    }
    for (const [position, row] of [...first, ...rest].entries()) {
      assert.deepEqual(again[position], row, `position ${position}`);
    }
    // A block far back that is changed changes what is seen of it.
    const [rows, keys] = state.blocks(0);
    assert.ok(rows && keys);
    assert.equal(keys.shape[1], Math.floor(capacity / 4));
    state.resume(million, fixed);
    writeTensor(backend, state.blocks(1)[0] ?? rows, new Uint8Array(64), 3000 * 64);
    const [changed] = await runner.decode(tokens.slice(0, 1));
    assert.notDeepEqual(changed, first[0]);

    await using file = await readGguf(path);
    const need = memoryNeed(cacheLayers(file) ?? [], { contextLength: capacity, weightBytes: 0 });
    t.diagnostic(`${state.bytes} bytes, the header says ${need.cacheBytes}`);
    assert.ok(Math.abs(state.bytes - need.cacheBytes) < 0.001 * need.cacheBytes);
  });
});
