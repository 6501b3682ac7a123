/** Processes that are killed while they save lose nothing that was whole, and break nothing. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  checkAfterKill,
  expectedTokens,
  killReader,
  killWriter,
  readAgain,
  smallModel,
} from './killed.js';
import { newFolder } from './support.js';

it('holds only what is right after ten kills', async () => {
  const writer = { path: 'default', folder: newFolder() };
  const expected = await expectedTokens(writer.path);
  let most = 0;
  for (let round = 0; round < 5; round++) {
    // Two at a time, into the same store.
    await Promise.all([
      killWriter(writer, round, 20 + 67 * round),
      killWriter(writer, round, 90 + 31 * round),
    ]);
    most = Math.max(most, await checkAfterKill(writer, expected));
  }
  assert.ok(most >= 64, `${most} tokens were there`);
});

for (const [name, kind] of [
  ['sliding windows', { architecture: 'gemma3', window: [24, 2] }],
  ['a recurrent state', { architecture: 'qwen35', tied: false }],
] as const) {
  it(`loses at most the last, unfilled block of a prompt that is read over ${name}`, async () => {
    const path = await smallModel(kind);
    const tokens = [500, 631, 700];
    for (const count of tokens) {
      const writer = { path, folder: newFolder() };
      await killReader(writer, count);
      const there = await readAgain(writer);
      assert.ok(count - there < 64, `${there} of ${count} tokens`);
      assert.ok(there <= count, `${there} of ${count} tokens`);
    }
  });
}
