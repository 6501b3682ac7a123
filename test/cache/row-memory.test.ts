import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { RollingRows } from '../../src/cache/rolling-rows.js';
import { RowMemory } from '../../src/cache/row-memory.js';
import { readTensorBytes, writeTensor } from '../../src/ggml/allocation.js';
import { Backend } from '../../src/ggml/backend.js';
import { positionBytes, storedPositions } from '../../src/ggml/cache-rows.js';
import { GgmlType, typeName } from '../../src/ggml/types.js';
import type { SequenceTensors } from '../../src/models/model.js';

const backend = new Backend({ threads: 1 });
after(() => backend.dispose());

/** Element type, layout, and bytes of a position in each tensor: keys and values of each layer. */
const cases = [
  {
    type: GgmlType.F16,
    layout: [
      { heads: 1, keys: 64, values: 32 },
      { heads: 1, keys: 32, values: 96 },
    ],
    rows: [128, 64, 64, 192],
  },
  {
    type: GgmlType.I16, // with an F32 scale of each head's keys and values behind the keys
    layout: [
      { heads: 2, keys: 128, values: 256 },
      { heads: 9, keys: 9 * 192, values: 9 * 64 },
      { heads: 0, keys: 0, values: 0 },
    ],
    rows: [2 * 128 + 2 * 8, 2 * 256, 2 * 9 * 192 + 9 * 8, 2 * 9 * 64, 0, 0],
  },
] as const;

for (const { type, layout, rows } of cases) {
  describe(`memory for rows of ${typeName(type)}`, () => {
    const create = (capacity = 200) => new RowMemory({ backend, layout, capacity, type });
    const tensorsOf = (memory: Pick<SequenceTensors, 'layer'>) =>
      layout.flatMap((_, layer) => {
        const { k, v } = memory.layer(layer);
        return [k, v];
      });
    const stored = (length: number) => storedPositions(type, length);
    /** Bytes that tell tensor and place, of whole blocks of positions. */
    const pattern = (tensor: number, count: number, salt: number) =>
      Uint8Array.from(
        { length: stored(count) * (rows[tensor] ?? 0) },
        (_, at) => (at * 13 + (at >> 8) + tensor * 5 + salt) & 255,
      );
    const fill = (memory: Pick<SequenceTensors, 'layer'>, count: number, salt: number) => {
      for (const [at, tensor] of tensorsOf(memory).entries()) {
        writeTensor(backend, tensor, pattern(at, count, salt));
      }
    };
    /** The rows are those of the positions [first, first + count) as `fill` wrote them. */
    const assertRows = (
      memory: Pick<SequenceTensors, 'layer'>,
      [first, count]: readonly [number, number],
      salt: number,
    ) => {
      for (const [at, tensor] of tensorsOf(memory).entries()) {
        const row = rows[at] ?? 0;
        const found = new Uint8Array(stored(count) * row);
        readTensorBytes(backend, tensor, found);
        const wanted = pattern(at, first + count, salt).subarray(first * row);
        assert.ok(Buffer.compare(found, wanted) === 0, `tensor ${at}`);
      }
    };

    it('has whole blocks of positions for every tensor', () => {
      for (const capacity of [1, 64, 65]) {
        using memory = create(capacity);
        for (const [at, tensor] of tensorsOf(memory).entries()) {
          assert.equal(tensor.strides[1], rows[at]);
          assert.equal(tensor.shape[1], stored(capacity));
        }
        const sum = rows.reduce((total, bytes) => total + bytes, 0);
        assert.equal(positionBytes(type, layout), sum);
        assert.ok(memory.bytes >= stored(capacity) * sum);
      }
    });

    it('is copied and saved piece by piece, and taken back', async () => {
      for (const length of [7, 64, 70, 150]) {
        using original = create();
        using copy = create(length + 1);
        using restored = create();
        fill(original, length, 1);
        await copy.copyFrom(
          original,
          [
            { from: 0, end: Math.min(64, length) },
            { from: 64, end: length },
          ].filter(({ from, end }) => from < end),
        );
        for (const from of [0, 64, 128]) {
          const end = Math.min(length, from + 64);
          if (end <= from) continue;
          const bytes = new Uint8Array(original.savedBytes(from, end));
          original.read(from, end, bytes);
          restored.write(from, end, bytes);
          const again = new Uint8Array(bytes.length);
          restored.read(from, end, again);
          assert.deepEqual(again, bytes);
          // An incomplete block is saved without what belongs to other positions.
          const part = (end - from) / stored(end - from);
          assert.ok(bytes.length <= original.bytesOf(from, end) * Math.min(1, part + 0.3));
        }
        fill(original, length, 99);
        assertRows(copy, [0, length], 1);
        assertRows(restored, [0, length - (length % stored(1))], 1);
      }
    });

    it('refuses rows that the element type cannot hold', () => {
      for (const misfit of type === GgmlType.I16 ? [32, 96, 320] : []) {
        const wrong = [{ heads: 2, keys: 2 * misfit, values: 2 * misfit }];
        assert.throws(() => new RowMemory({ backend, layout: wrong, capacity: 4, type }), {
          code: 'usage',
        });
      }
      const wrong = [{ heads: 1, keys: 40, values: 40 }];
      const q8 = { backend, layout: wrong, capacity: 4, type: GgmlType.Q8_0 };
      assert.throws(() => new RowMemory(q8), { code: 'usage' });
    });

    it('drops first rows: the others move to the front, whatever their size', () => {
      // More bytes than are moved at a time.
      using rolling = new RollingRows({ backend, layout, capacity: 20_000, type });
      const length = type === GgmlType.I16 ? 400 : 15_000;
      fill(rolling, length, 3);
      rolling.append(length);
      const drop = type === GgmlType.I16 ? 128 : 7;
      rolling.dropFirst(drop);
      assert.equal(rolling.length, length - drop);
      assertRows(rolling, [drop, length - drop], 3);
      if (type === GgmlType.I16) {
        for (const count of [1, 63, 65]) {
          assert.throws(() => rolling.dropFirst(count), { code: 'internal' });
        }
      }
      assert.throws(() => rolling.dropFirst(length), { code: 'internal' });
    });
  });
}

describe('rolling rows', () => {
  it('count what was appended, refuse what does not fit, and are cut at the end', () => {
    const layout = [{ heads: 1, keys: 32, values: 32 }];
    using rows = new RollingRows({ backend, layout, capacity: 8, type: GgmlType.F16 });
    rows.append(5);
    rows.reserve(3);
    assert.throws(() => rows.reserve(4), { code: 'context-overflow' });
    assert.throws(() => rows.append(4), { code: 'context-overflow' });
    assert.equal(rows.length, 5);
    rows.truncate(9);
    assert.equal(rows.length, 5);
    rows.truncate(2);
    rows.truncate(-1);
    assert.equal(rows.length, 0);
  });
});
