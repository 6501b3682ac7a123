import { test } from 'node:test';
import { killRounds } from './supervisor.js';

test('the engine is killed 50 times during 8 streams, and every text ends as it has to', async () => {
  await killRounds(50, 200);
});
