import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { KvCache } from '../../src/cache/kv-cache.js';
import { readTensorBytes, writeTensor } from '../../src/ggml/allocation.js';
import { Backend } from '../../src/ggml/backend.js';
import { positionBytes, storedPositions } from '../../src/ggml/cache-rows.js';
import { GgmlType } from '../../src/ggml/types.js';

const backend = new Backend({ threads: 1 });
const layout = [
  { heads: 1, kRow: 64, vRow: 32 },
  { heads: 1, kRow: 32, vRow: 96 },
];
const create = (capacity = 16, type: GgmlType = GgmlType.F16) =>
  new KvCache({ backend, layout, capacity, type });

/** Writes recognisable bytes into the first rows and counts them as seen. */
function fill(cache: KvCache, rows: number, salt: number): void {
  for (const [layer, { kRow }] of layout.entries()) {
    const bytes = Uint8Array.from(
      { length: rows * kRow * 2 },
      (_, i) => (i * 7 + salt + layer) & 255,
    );
    writeTensor(backend, cache.layer(layer).k, bytes);
    writeTensor(backend, cache.layer(layer).v, bytes.subarray(0, rows * 64));
  }
  cache.append(rows);
}

function firstKeys(cache: KvCache): Uint8Array {
  const bytes = new Uint8Array(64 * 2);
  readTensorBytes(backend, cache.layer(0).k, bytes);
  return bytes;
}

describe('KV cache', () => {
  after(() => backend.dispose());

  it('counts what was appended and refuses what does not fit', () => {
    using cache = disposable(create(8));
    cache.value.append(5);
    assert.equal(cache.value.length, 5);
    cache.value.reserve(3);
    assert.throws(() => cache.value.reserve(4), { code: 'context-overflow' });
    assert.throws(() => cache.value.append(4), { code: 'context-overflow' });
    assert.equal(cache.value.length, 5);
  });

  it('truncates backwards only', () => {
    using cache = disposable(create());
    cache.value.append(6);
    assert.equal(cache.value.truncate(2), true);
    assert.equal(cache.value.length, 2);
    assert.equal(cache.value.truncate(3), false);
    assert.equal(cache.value.truncate(-1), false);
    assert.equal(cache.value.length, 2);
  });

  it('drops first rows: the others move to the front, whatever their size', () => {
    // More bytes than are moved at a time.
    using cache = disposable(create(20_000));
    fill(cache.value, 15_000, 3);
    using rest = disposable(create(20_000));
    fill(rest.value, 15_000, 3);
    cache.value.dropFirst(7);
    assert.equal(cache.value.length, 14_993);
    for (const layer of [0, 1]) {
      for (const part of ['k', 'v'] as const) {
        const { strides } = cache.value.layer(layer)[part];
        const [found, wanted] = [cache.value, rest.value].map((from, index) => {
          const bytes = new Uint8Array(14_993 * strides[1]);
          readTensorBytes(backend, from.layer(layer)[part], bytes, index * 7 * strides[1]);
          return bytes;
        });
        assert.ok(found && wanted && Buffer.compare(found, wanted) === 0, `${part} of ${layer}`);
      }
    }
    cache.value.dropFirst(14_993);
    assert.equal(cache.value.length, 0);
    assert.throws(() => cache.value.dropFirst(1), { code: 'internal' });
  });

  it('comes back from a snapshot byte for byte', () => {
    using original = disposable(create());
    using copy = disposable(create(9));
    fill(original.value, 5, 1);
    const bytes = original.value.snapshot();
    copy.value.restore(bytes);
    assert.equal(copy.value.length, 5);
    assert.deepEqual(copy.value.snapshot(), bytes);
  });

  it('refuses snapshots that are damaged, foreign or too long', () => {
    using cache = disposable(create(4));
    using longer = disposable(create(8));
    using quantised = disposable(create(8, GgmlType.Q8_0));
    fill(longer.value, 6, 2);
    const bytes = longer.value.snapshot();
    assert.throws(() => cache.value.restore(bytes), { code: 'broken-file' });
    assert.throws(() => quantised.value.restore(bytes), { code: 'broken-file' });
    for (let cut = 0; cut < bytes.length; cut += 97) {
      assert.throws(() => longer.value.restore(bytes.subarray(0, cut)), { code: 'broken-file' });
    }
    assert.equal(longer.value.length, 6);
  });

  it('forks into independent copies', () => {
    using cache = disposable(create());
    fill(cache.value, 4, 3);
    using fork = disposable(cache.value.fork());
    const before = firstKeys(fork.value);
    assert.deepEqual(before, firstKeys(cache.value));
    cache.value.truncate(0);
    fill(cache.value, 4, 99);
    assert.deepEqual(firstKeys(fork.value), before);
    assert.equal(fork.value.length, 4);
  });

  it('refuses rows that the element type cannot hold', () => {
    assert.throws(
      () =>
        new KvCache({
          backend,
          layout: [{ heads: 1, kRow: 40, vRow: 40 }],
          capacity: 4,
          type: GgmlType.Q8_0,
        }),
      { code: 'usage' },
    );
  });
});

describe('KV cache of 16-bit integers', () => {
  const layout = [
    { heads: 2, kRow: 128, vRow: 256 },
    { heads: 9, kRow: 9 * 192, vRow: 9 * 64 },
    { heads: 0, kRow: 0, vRow: 0 },
  ];
  /** Bytes of a position's keys, the scales included, and of its values. */
  const rows = [
    [2 * 128 + 2 * 8, 2 * 256],
    [2 * 9 * 192 + 9 * 8, 2 * 9 * 64],
    [0, 0],
  ] as const;
  const backend = new Backend({ threads: 1 });
  after(() => backend.dispose());
  const integers = (capacity = 200) =>
    disposable(new KvCache({ backend, layout, capacity, type: GgmlType.I16 }));
  const parts = (cache: KvCache) =>
    rows.flatMap(([keys, values], layer) => {
      const { k, v } = cache.layer(layer);
      return [
        { tensor: k, bytes: keys },
        { tensor: v, bytes: values },
      ];
    });
  const stored = (length: number) => storedPositions(GgmlType.I16, length);
  /** Bytes that tell tensor and place, scales included, of the blocks of some positions. */
  const written = (part: number, bytes: number, count: number, salt: number) =>
    Uint8Array.from(
      { length: stored(count) * bytes },
      (_, at) => (at * 13 + (at >> 8) + part * 5 + salt) & 255,
    );
  function write(cache: KvCache, count: number, salt: number): void {
    for (const [part, { tensor, bytes }] of parts(cache).entries()) {
      if (bytes > 0) writeTensor(backend, tensor, written(part, bytes, count, salt));
    }
    cache.append(count);
  }
  /** Every byte of the cache's blocks is that of the blocks of [first, first + length) as written. */
  function assertRows(cache: KvCache, first: number, salt: number): void {
    for (const [part, { tensor, bytes }] of parts(cache).entries()) {
      const found = new Uint8Array(stored(cache.length) * bytes);
      if (bytes > 0) readTensorBytes(backend, tensor, found);
      const wanted = written(part, bytes, first + cache.length, salt).subarray(first * bytes);
      assert.ok(Buffer.compare(found, wanted) === 0, `tensor ${part}`);
    }
  }

  it('has whole blocks of positions, with room for the scales of each', () => {
    for (const [capacity, positions] of [
      [1, 64],
      [64, 64],
      [65, 128],
    ] as const) {
      using cache = integers(capacity);
      assert.equal(cache.value.capacity, capacity);
      for (const { tensor, bytes } of parts(cache.value)) {
        assert.equal(tensor.strides[1], bytes);
        assert.deepEqual([...tensor.shape.slice(0, 2)], [bytes / 2, positions]);
      }
      const sum = rows.reduce((total, [keys, values]) => total + keys + values, 0);
      assert.equal(positionBytes(GgmlType.I16, layout), sum);
      assert.ok(cache.value.bytes >= positions * sum);
    }
  });

  it('is snapshot, restored, forked and truncated with its scales, block by block', () => {
    for (const length of [7, 64, 70, 150]) {
      using original = integers();
      using copy = integers(length + 1);
      write(original.value, length, 1);
      const snapshot = original.value.snapshot();
      copy.value.restore(snapshot);
      assert.equal(copy.value.length, length);
      assertRows(copy.value, 0, 1);
      using fork = disposable(original.value.fork());
      original.value.truncate(0);
      write(original.value, length, 50);
      assertRows(fork.value, 0, 1);
      fork.value.truncate(length - 2);
      assertRows(fork.value, 0, 1);
    }
  });

  it('drops first positions in whole blocks only', () => {
    using cache = integers();
    write(cache.value, 150, 50);
    for (const count of [1, 63, 65, 150]) {
      assert.throws(() => cache.value.dropFirst(count), { code: 'internal' });
    }
    cache.value.dropFirst(64);
    assertRows(cache.value, 64, 50);
    assert.equal(cache.value.length, 86);
  });

  it('takes no snapshot of another type', () => {
    using cache = integers();
    using halves = disposable(new KvCache({ backend, layout, capacity: 16, type: GgmlType.F16 }));
    write(cache.value, 3, 2);
    halves.value.append(3);
    assert.throws(() => halves.value.restore(cache.value.snapshot()), { code: 'broken-file' });
    assert.throws(() => cache.value.restore(halves.value.snapshot()), { code: 'broken-file' });
    assertRows(cache.value, 0, 2);
  });

  it('refuses heads that the kernels do not take', () => {
    for (const row of [32, 96, 320]) {
      const layout = [{ heads: 2, kRow: 2 * row, vRow: 2 * row }];
      assert.throws(() => new KvCache({ backend, layout, capacity: 4, type: GgmlType.I16 }), {
        code: 'usage',
      });
    }
  });
});

/** Lets `using` free something that is freed by `dispose`. */
function disposable<T extends { dispose(): void }>(value: T) {
  return { value, [Symbol.dispose]: () => value.dispose() };
}
