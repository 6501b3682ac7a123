/** Sessions that run at once give the bytes that they give alone, and nothing of each other. */
import assert from 'node:assert/strict';
import { post, startServer } from './support.js';

/** A conversation of `turns` messages; its words are in no other. */
async function converse(server: { readonly url: string }, session: number, turns: number) {
  const messages: { role: string; content: string }[] = [];
  const texts: string[] = [];
  for (let turn = 0; turn < turns; turn++) {
    messages.push({ role: 'user', content: `secret${session}x${turn}: write f${session}()` });
    const { status, json } = await post(server, '/v1/chat/completions', {
      model: 'default',
      messages,
      max_tokens: 8 + (session % 5) * 4,
      temperature: session % 2 === 0 ? 0 : 0.9,
      seed: session,
      draft: session % 3 === 0 ? 'none' : 'auto',
    });
    assert.equal(status, 200, JSON.stringify(json));
    const content = String(json.choices?.[0]?.message?.content);
    messages.push({ role: 'assistant', content });
    texts.push(content);
  }
  return texts;
}

/** Runs the sessions one after the other, then all at once. */
export async function compareSessions(count: number, turns: number): Promise<void> {
  const server = await startServer({ slots: 8, queue: count });
  try {
    const sessions = Array.from({ length: count }, (_, session) => session);
    const alone: string[][] = [];
    for (const session of sessions) alone.push(await converse(server, session, turns));
    const together = await Promise.all(sessions.map((session) => converse(server, session, turns)));
    assert.deepEqual(together, alone);
    for (const [session, texts] of together.entries()) {
      for (const [, found] of texts.join(' ').matchAll(/secret(\d+)x/g)) {
        assert.equal(Number(found), session, 'words of another session');
      }
    }
    assert.equal(server.engine.slotsTaken, 0);
  } finally {
    await server.close();
  }
}
