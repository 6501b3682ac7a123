import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Admission } from '../../src/chat/admission.js';

const never = new AbortController().signal;
const ticket = (client = 'a', slots = 1, model = 'm') => ({ client, slots, model });

/** Notes the order in which tickets are let in. */
function entrance(admission: Admission) {
  const order: string[] = [];
  const releases = new Map<string, () => void>();
  const enter = (name: string, client: string, slots = 1): void => {
    void admission.enter(ticket(client, slots), never).then((release) => {
      order.push(name);
      releases.set(name, release);
    });
  };
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { order, enter, settle, leave: (name: string) => releases.get(name)?.() };
}

test('as many as there are slots run, the others in turn', async () => {
  const admission = new Admission({ slots: 2, queueLimit: 9 });
  const { order, enter, settle, leave } = entrance(admission);
  for (const name of ['1', '2', '3', '4']) enter(name, 'a');
  await settle();
  assert.deepEqual(order, ['1', '2']);
  assert.equal(admission.waiting, 2);
  leave('1');
  leave('1');
  await settle();
  assert.deepEqual(order, ['1', '2', '3']);
  assert.equal(admission.taken, 2);
});

test('a client with less running goes before one with more', async () => {
  const admission = new Admission({ slots: 2, queueLimit: 9 });
  const { order, enter, settle, leave } = entrance(admission);
  for (const name of ['a1', 'a2', 'a3']) enter(name, 'a');
  enter('b1', 'b');
  await settle();
  leave('a1');
  await settle();
  assert.deepEqual(order, ['a1', 'a2', 'b1']);
});

test('one that needs all slots is not overtaken for ever', async () => {
  const admission = new Admission({ slots: 2, queueLimit: 9 });
  const { order, enter, settle, leave } = entrance(admission);
  enter('1', 'a');
  enter('both', 'a', 2);
  enter('3', 'a');
  await settle();
  assert.deepEqual(order, ['1']);
  leave('1');
  await settle();
  assert.deepEqual(order, ['1', 'both']);
});

test('a full queue is busy and says when to come back; too many slots are wrong usage', async () => {
  const admission = new Admission({ slots: 1, queueLimit: 1 });
  await admission.enter(ticket(), never);
  void admission.enter(ticket(), never);
  assert.throws(
    () => admission.enter(ticket(), never),
    (error: { code?: string; details?: { retryAfter?: number } }) =>
      error.code === 'busy' && (error.details?.retryAfter ?? 0) > 0,
  );
  assert.throws(() => admission.enter(ticket('a', 2), never), { code: 'usage' });
});

test('who gives up leaves the queue and lets the next one in', async () => {
  const admission = new Admission({ slots: 2, queueLimit: 9 });
  await admission.enter(ticket(), never);
  const impatient = new AbortController();
  const both = admission.enter(ticket('a', 2), impatient.signal);
  const next = admission.enter(ticket(), never);
  impatient.abort();
  await assert.rejects(both, { code: 'aborted' });
  await next;
  assert.equal(admission.waiting, 0);
});

test('models do not wait for each other', async () => {
  const admission = new Admission({ slots: 1, queueLimit: 9 });
  await admission.enter(ticket('a', 1, 'm'), never);
  await admission.enter(ticket('a', 1, 'other'), never);
  assert.equal(admission.taken, 2);
});
