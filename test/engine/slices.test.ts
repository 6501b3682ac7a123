import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CostTable } from '../../src/decode/costs.js';
import { PassCosts } from '../../src/engine/pass-costs.js';
import { type Reader, shareRoom } from '../../src/engine/slices.js';

const usual = { priority: 0, deadline: Number.POSITIVE_INFINITY };
const readers = (...lengths: number[]): Reader[] =>
  lengths.map((promptLeft) => ({ ...usual, promptLeft }));

test('short prompts are read at once, and long ones get equal parts of the rest', () => {
  assert.deepEqual(shareRoom(readers(4000, 20, 3000), 512), [246, 20, 246]);
  assert.deepEqual(shareRoom(readers(100, 100), 512), [100, 100]);
  assert.deepEqual(shareRoom(readers(9), 1), [1]);
  assert.deepEqual(shareRoom(readers(4000), Number.POSITIVE_INFINITY), [4000]);
  assert.deepEqual(shareRoom([], 100), []);
});

test('parts that are too short to be worth a row of everything wait', () => {
  assert.deepEqual(shareRoom(readers(400, 400, 400, 400), 32), [16, 16, 0, 0]);
  assert.deepEqual(shareRoom(readers(400, 3), 10), [0, 3]);
  assert.deepEqual(shareRoom(readers(400), 10), [10]);
});

test('those with a higher priority come first, then those with an earlier deadline', () => {
  const [plain, second] = readers(300, 300) as [Reader, Reader];
  const urgent = { ...usual, priority: 1, promptLeft: 400 };
  const due = { ...usual, deadline: 5, promptLeft: 350 };
  assert.deepEqual(shareRoom([plain, urgent, second], 512), [56, 400, 56]);
  assert.deepEqual(shareRoom([plain, due], 400), [50, 350]);
  assert.deepEqual(shareRoom([plain, due, urgent], 400), [0, 0, 400]);
});

test('nobody is given more than there is, and everybody is served in the end', () => {
  for (let seed = 1; seed < 300; seed++) {
    const left = Array.from(
      { length: 1 + (seed % 7) },
      (_, at) => 1 + ((seed * 7919 * (at + 1)) % 900),
    );
    for (let turns = 0; left.some((count) => count > 0); turns++) {
      const waiting = left.flatMap((promptLeft, index) =>
        promptLeft > 0 ? [{ index, promptLeft }] : [],
      );
      const room = 1 + ((seed * 31) % 300);
      const shares = shareRoom(
        waiting.map(({ promptLeft }) => ({ ...usual, promptLeft })),
        room,
      );
      const sum = shares.reduce((total, share) => total + share, 0);
      assert.ok(sum >= 1 && sum <= room, `${shares} of ${room}`);
      for (const [at, { index, promptLeft }] of waiting.entries()) {
        assert.ok((shares[at] ?? 0) <= promptLeft);
        left[index] = promptLeft - (shares[at] ?? 0);
      }
      assert.ok(turns < 10_000);
    }
  }
});

test('a slice takes no longer than some steps of the texts that wait for it', () => {
  const costs = new PassCosts(new CostTable());
  assert.equal(costs.sliceRoom(0), Number.POSITIVE_INFINITY);
  const unknown = costs.sliceRoom(1);
  for (let round = 0; round < 5; round++) {
    costs.record(1, 0, 20);
    costs.record(8, 0, 30);
    costs.record(0, 512, 1024); // 2 ms a row
  }
  assert.ok(unknown > 0 && unknown < 512);
  // 4 steps of 20 ms, less the 20 of the text itself.
  assert.equal(costs.sliceRoom(1), 30);
  assert.equal(costs.sliceRoom(8), 25);
  assert.equal(costs.sliceRoom(0), 250);
  // However much others have to do, prompts go on.
  assert.equal(costs.sliceRoom(400), 16);
  assert.equal(costs.decodeMs(8, 0, 31), 31);
  assert.equal(costs.decodeMs(8, 100, 230), 30, 'what the slice took is not the drafts’ fault');
  // One interrupted slice does not halve all others.
  costs.record(0, 512, 60_000);
  assert.ok(costs.sliceRoom(0) > 180);
});
