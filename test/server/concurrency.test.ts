import { test } from 'node:test';
import { compareSessions } from './concurrency.js';

test('8 sessions at once give the bytes that they give alone', async () => {
  await compareSessions(8, 2);
});
