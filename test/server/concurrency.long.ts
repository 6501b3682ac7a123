import { test } from 'node:test';
import { compareSessions } from './concurrency.js';

test('32 sessions at once give the bytes that they give alone', async () => {
  await compareSessions(32, 4);
});
