import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { chooseSlot, type IdleSlot, SlotPool } from '../../src/chat/slots.js';
import { loadModel } from '../../src/engine/load.js';
import type { Model } from '../../src/engine/model.js';

const slot = (length: number, prefix: number, more: Partial<IdleSlot> = {}): IdleSlot => ({
  length,
  prefix,
  lastUsed: 0,
  sameClient: false,
  ...more,
});

describe('the choice of a slot', () => {
  it('makes one while there is room, and has none when all are lent', () => {
    assert.deepEqual(chooseSlot([], { promptLength: 9, room: true }), { action: 'new' });
    assert.equal(chooseSlot([], { promptLength: 9, room: false }), undefined);
  });

  it('takes the longest prefix', () => {
    const idle = [slot(100, 60), slot(100, 90), slot(100, 10)];
    const choice = chooseSlot(idle, { promptLength: 120, room: true });
    assert.deepEqual(choice, { action: 'use', slot: 1 });
  });

  it('copies a shared beginning and leaves the other conversation alone', () => {
    const idle = [slot(1000, 200)];
    const options = { promptLength: 300, room: true };
    assert.deepEqual(chooseSlot(idle, options), { action: 'fork', from: 0 });
  });

  it('gives up the slot that was used longest ago for the copy', () => {
    const idle = [slot(1000, 200, { lastUsed: 5 }), slot(900, 0, { lastUsed: 2 })];
    const options = { promptLength: 300, room: false };
    assert.deepEqual(chooseSlot(idle, options), { action: 'fork', from: 0, evict: 1 });
  });

  it('cuts the only slot that there is', () => {
    const idle = [slot(1000, 200)];
    const options = { promptLength: 300, room: false };
    assert.deepEqual(chooseSlot(idle, options), { action: 'use', slot: 0 });
  });

  it('prefers the slot of the same agent at a tie', () => {
    const idle = [slot(50, 40), slot(50, 40, { sameClient: true })];
    const options = { promptLength: 60, room: true };
    assert.deepEqual(chooseSlot(idle, options), { action: 'use', slot: 1 });
  });

  it('takes the oldest when nothing fits', () => {
    const idle = [slot(50, 0, { lastUsed: 3 }), slot(50, 0, { lastUsed: 1 })];
    const options = { promptLength: 60, room: false };
    assert.deepEqual(chooseSlot(idle, options), { action: 'use', slot: 1 });
  });
});

describe('a pool of slots', () => {
  let model: Model;
  before(async () => {
    model = await loadModel('default', { threads: 1, contextLength: 256 });
  });
  after(() => model.dispose());

  it('continues where a prompt begins as before, and copies a shared beginning', async () => {
    const pool = new SlotPool({ limit: 2, create: () => model.createSession() });
    const shared = model.tokenizer.encode('import { readFile } from "node:fs";\n'.repeat(3));
    const long = [...shared, ...model.tokenizer.encode('const x = 1;\n'.repeat(20))];
    const first = pool.acquire(long);
    assert.equal(first.cached, 0);
    await first.slot.session.generate(long, { maxTokens: 2, temperature: 0 });
    pool.release(first.slot);

    const again = pool.acquire([...long, 5, 6, 7]);
    assert.equal(again.slot.id, first.slot.id);
    assert.ok(again.cached >= long.length);
    pool.release(again.slot);

    const other = [...shared, 9, 9, 9];
    const copy = pool.acquire(other);
    assert.notEqual(copy.slot.id, first.slot.id);
    assert.equal(copy.cached, shared.length);
    const { tokens } = await copy.slot.session.generate(other, { maxTokens: 4, temperature: 0 });
    const alone = await model.generate(other, { maxTokens: 4, temperature: 0 });
    assert.deepEqual(tokens, alone.tokens);
    assert.deepEqual(
      pool.states.map(({ busy }) => busy),
      [false, true],
    );
    const last = pool.acquire([1, 2, 3]);
    assert.throws(() => pool.acquire([4]), { code: 'busy' });
    pool.release(copy.slot);
    pool.release(last.slot);
  });
});
