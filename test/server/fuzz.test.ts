import { test } from 'node:test';
import { fuzzServer } from './fuzz.js';

test('200 mutated bodies are answered with a message or a text', async () => {
  await fuzzServer(200, 1);
});
