import { test } from 'node:test';
import { fuzzServer } from './fuzz.js';

test('20,000 mutated bodies are answered with a message or a text', async () => {
  await fuzzServer(20_000, 7);
});
