/** Kills at moments of all kinds, on every kind of state, and two processes that write the same for a minute. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkAfterKill, expectedTokens, killWriter, smallModel } from './killed.js';
import { newFolder } from './support.js';

/** Kills so many writers of a store, `rounds` times each store, and looks at it after each. */
async function killAll(path: string, stores: number, rounds: number): Promise<void> {
  const expected = await expectedTokens(path);
  let most = 0;
  for (let store = 0; store < stores; store++) {
    const writer = { path, folder: newFolder() };
    for (let round = 0; round < rounds; round++) {
      await killWriter(writer, round, (round * 97 + store * 13) % 1500);
      most = Math.max(most, await checkAfterKill(writer, expected));
    }
  }
  assert.ok(most >= 64, `${most} tokens were there`);
}

describe('a store holds only what is right after', () => {
  it('two hundred kills', () => killAll('default', 10, 20));

  it('sixty kills over sliding windows', async () =>
    killAll(await smallModel({ architecture: 'gemma3', window: [24, 2] }), 3, 20));

  it('sixty kills over a recurrent state', async () =>
    killAll(await smallModel({ architecture: 'qwen35', tied: false }), 3, 20));
});

it('is written by two processes for a minute', async () => {
  const writer = { path: 'default', folder: newFolder() };
  await Promise.all([killWriter(writer, 1, 60_000), killWriter(writer, 1, 60_000)]);
  // The first text of each begins as the checked prompt does, for 200 tokens: three blocks and a rest.
  assert.ok((await checkAfterKill(writer, await expectedTokens(writer.path))) >= 192);
});
