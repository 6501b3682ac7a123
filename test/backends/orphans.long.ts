import { test } from 'node:test';
import { killServer } from './started-engine.js';

test('of 20 servers that are killed, none leaves a process behind', {
  skip: process.platform === 'linux' ? false : 'Linux',
}, async () => {
  for (let round = 0; round < 20; round++) await killServer();
});
