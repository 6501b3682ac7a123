/** Two hundred kills at moments of all kinds, and two processes that write the same for a minute. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { checkAfterKill, expectedTokens, killWriter } from './killed.js';
import { newFolder } from './support.js';

it('holds only what is right after two hundred kills', async () => {
  const expected = await expectedTokens();
  for (let store = 0; store < 10; store++) {
    const folder = newFolder();
    for (let round = 0; round < 20; round++) {
      await killWriter(folder, round, (round * 97 + store * 13) % 1500);
      await checkAfterKill(folder, expected);
    }
  }
});

it('is written by two processes for a minute', async () => {
  const folder = newFolder();
  await Promise.all([killWriter(folder, 1, 60_000), killWriter(folder, 1, 60_000)]);
  // The first text of each begins as the checked prompt does, for 200 tokens: three blocks and a rest.
  assert.ok((await checkAfterKill(folder, await expectedTokens())) >= 192);
});
