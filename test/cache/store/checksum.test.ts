/** The checksum sees every change of a bit, and does not care how bytes come. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Checksum, checksum } from '../../../src/cache/store/checksum.js';
import { sumUp } from '../../../src/cache/store/sum-up.js';
import { nativeKernels } from '../../../src/ggml/native/library.js';

const bytes = Uint8Array.from({ length: 2003 }, (_, at) => (at * 37 + (at >> 3)) & 0xff);

it('sees every flipped bit', () => {
  const right = checksum(bytes);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const other = bytes.slice();
    other[bit >> 3] = (other[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.notEqual(checksum(other), right, `bit ${bit}`);
  }
});

it('sees what is missing, added and exchanged', () => {
  const seen = new Set<string>();
  for (let length = 0; length <= 200; length++) {
    seen.add(checksum(bytes.subarray(0, length)));
    seen.add(checksum(new Uint8Array(length).fill(9)));
  }
  assert.equal(seen.size, 401);
  const swapped = bytes.slice();
  swapped.set(bytes.subarray(0, 16), 16);
  swapped.set(bytes.subarray(16, 32), 0);
  assert.notEqual(checksum(swapped), checksum(bytes));
});

it('is the same however the bytes are cut, and wherever they lie', () => {
  const right = checksum(bytes);
  for (const step of [1, 3, 4, 7, 16, 100, 1999]) {
    for (const shift of [0, 1, 2, 3]) {
      const moved = new Uint8Array(bytes.length + shift).subarray(shift);
      moved.set(bytes);
      const sum = new Checksum();
      for (let at = 0; at < moved.length; at += step) sum.update(moved.subarray(at, at + step));
      assert.equal(sum.digest(), right, `${step} at ${shift}`);
    }
  }
});

it('is the same by the native kernel, for parts of any size at any place', async (context) => {
  if (nativeKernels().kernels === undefined) context.diagnostic('there is no kernel here');
  const long = Uint8Array.from({ length: 300_000 }, (_, at) => (at * 101 + (at >> 7)) & 0xff);
  const cuts = [[], [100_000], [16, 99_984], [3, 160_003], [131_072, 131_088, 131_089]];
  for (const cut of cuts) {
    const parts = [0, ...cut].map((from, at) => long.subarray(from, cut[at]));
    const sum = new Checksum();
    await sumUp(sum, parts);
    assert.equal(sum.digest(), checksum(long), `cut at ${cut}`);
  }
});
