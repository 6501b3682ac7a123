/** Where texts are likely to come back to. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Boundaries, messageEnds } from '../../src/engine/boundaries.js';

const isControl = (token: number): boolean => token < 10;

it('finds the ends of messages in the formats that models have', () => {
  const words = (length: number): number[] => Array.from({ length }, (_, at) => 20 + at);
  // ChatML: <im_start> role \n text <im_end> \n, where the next message begins two tokens on.
  const chatml = [1, ...words(40), 2, 20, 1, ...words(30), 2, 20, 1, 21, 20];
  assert.deepEqual(messageEnds(chatml, isControl), [41, 74]);
  // Only answers end with a token; a turn begins with one.
  const turns = [0, 3, ...words(50), 4, ...words(60), 2, 3, ...words(20), 4];
  assert.deepEqual(messageEnds(turns, isControl), [52, 113, 135]);
  // Short messages count with the next; plain text has none.
  assert.deepEqual(messageEnds([1, 20, 2, 1, 20, 2, 1, ...words(30), 2], isControl), [37]);
  assert.deepEqual(messageEnds(words(100), isControl), []);
  assert.deepEqual(messageEnds([], isControl), []);
});

it('tells the places of a text in order, besides those at regular distances', () => {
  const places = new Boundaries(
    700,
    [41, 300, 256, 699].sort((a, b) => a - b),
    256,
  );
  assert.deepEqual(places.between(0, 1100), [41, 256, 300, 512, 699, 768, 1024]);
  assert.deepEqual(places.between(41, 300), [256, 300]);
  assert.deepEqual(places.between(300, 300), []);
  assert.equal(places.next(699), 768);
  assert.deepEqual(
    [41, 256, 512, 699, 700].map((at) => places.isEnd(at)),
    [...[true, true, false, true, false]],
  );
  // A prompt of one token has no beginning to come back to.
  assert.deepEqual(new Boundaries(1, [], 256).between(0, 300), [256]);
});
