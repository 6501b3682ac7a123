/** Several generators as one: in the order in which values come, a few at a time, and ended together. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { interleave } from '../../src/base/interleave.js';

test('values come as they are made, so many generators at once', async () => {
  let running = 0;
  let most = 0;
  const counting = (count: number) =>
    async function* () {
      most = Math.max(most, ++running);
      for (let at = 0; at < count; at++) {
        await wait(1);
        yield at;
      }
      running--;
    };
  const found: number[][] = [[], [], [], []];
  for await (const [place, value] of interleave([3, 0, 5, 2].map(counting), 2)) {
    found[place]?.push(value);
  }
  assert.deepEqual(found, [[0, 1, 2], [], [0, 1, 2, 3, 4], [0, 1]]);
  assert.equal(most, 2);
  for await (const none of interleave([])) assert.fail(String(none));
});

test('when one fails or the reader leaves, all end, and none of them unheard', async () => {
  const ended: string[] = [];
  const endless = (name: string) =>
    async function* () {
      try {
        for (let at = 0; ; at++) {
          await wait(1);
          yield at;
        }
      } finally {
        ended.push(name);
      }
    };
  async function* failing(): AsyncGenerator<number, void> {
    yield 0;
    throw new Error('broken');
  }
  await assert.rejects(async () => {
    for await (const _ of interleave([endless('a'), failing, endless('b')]));
  }, /broken/);
  for await (const [, value] of interleave([endless('c')])) if (value === 2) break;
  for (let tries = 0; ended.length < 3 && tries < 1000; tries++) await wait(1);
  assert.deepEqual(ended.sort(), ['a', 'b', 'c']);
});
