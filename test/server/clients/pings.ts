/** What a client hears while it waits for a server that is busy. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { eventually, startServer } from '../support.js';

const messages = [{ role: 'user' as const, content: 'Write a loop in TypeScript.' }];
const greedy = { model: 'default', messages, temperature: 0, max_tokens: 10 };

describe('the anthropic client of a busy server', () => {
  it('hears pings while nothing is said', async () => {
    const busy = await startServer({ slots: 1, keepAliveMs: 30 });
    try {
      const patient = new Anthropic({ baseURL: busy.url, apiKey: 'none', maxRetries: 0 });
      const long = { ...greedy, max_tokens: 400, temperature: 1, seed: 1 };
      const first = patient.messages.create(long);
      await eventually(() => busy.engine.slotsTaken === 1, 'the first request runs');
      const response = await fetch(`${busy.url}/v1/messages`, {
        method: 'POST',
        body: JSON.stringify({ ...greedy, stream: true }),
      });
      const text = await response.text();
      await first;
      assert.match(text, /event: ping\ndata: \{"type":"ping"\}/);
      assert.match(text, /event: message_stop/);
    } finally {
      await busy.close();
    }
  });
});
