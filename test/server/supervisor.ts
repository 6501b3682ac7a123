/** Kills the engine while it works for several clients, again and again. */
import assert from 'node:assert/strict';
import type { TextEvent } from '../../src/chat/events.js';
import type { TextRequest } from '../../src/chat/request.js';
import { ResultBuilder } from '../../src/chat/result.js';
import { eventually, post, startServer, type TestServer } from './support.js';

const request = (seed: number, maxTokens: number): TextRequest => ({
  model: 'default',
  input: { type: 'text', text: `export function f${seed}(` },
  settings: { seed, maxTokens, temperature: 0.8 },
});

/** The text of a request, or the code of its failure, and whether anything was told before that. */
async function outcome(server: TestServer, seed: number, maxTokens: number, onText?: () => void) {
  const builder = new ResultBuilder();
  let told = false;
  try {
    const signal = new AbortController().signal;
    for await (const batch of server.engine.run(request(seed, maxTokens), { signal })) {
      for (const event of batch as readonly TextEvent[]) {
        builder.add(event);
        told ||= event.type === 'text';
      }
      if (told) onText?.();
    }
    return { text: builder.result.choices[0]?.text, told };
  } catch (error) {
    return { failure: (error as { code?: string }).code, told };
  }
}

/**
 * `rounds` times: eight texts run, the engine is killed in the middle of them. Those of which
 * something was told fail with an error, the others are run again and end as if nothing had been.
 * Texts are so long that none ends before the kill arrives: every round has to hit one.
 */
export async function killRounds(rounds: number, tokens: number): Promise<void> {
  const server = await startServer({ slots: 8 });
  try {
    const seeds = [1, 2, 3, 4, 5, 6, 7, 8];
    const alone: (string | undefined)[] = [];
    for (const seed of seeds) alone.push((await outcome(server, seed, tokens)).text);
    for (let round = 0; round < rounds; round++) {
      let pieces = 0;
      let hit = 0;
      // An early kill meets texts of which nothing was told, a late one texts in their middle.
      const kill = (): void => {
        const { processId } = server.engine;
        if (++pieces === 1 + (round % 3) * 3 && processId !== undefined) {
          process.kill(processId, 'SIGKILL');
        }
      };
      const outcomes = await Promise.all(seeds.map((seed) => outcome(server, seed, tokens, kill)));
      for (const [index, { text, failure, told }] of outcomes.entries()) {
        if (failure === undefined) {
          assert.equal(text, alone[index], `round ${round}, text ${index}`);
        } else {
          hit += 1;
          assert.equal(failure, 'internal');
          assert.ok(told, 'a text of which nothing was told must be run again');
        }
      }
      assert.ok(hit > 0, `round ${round}: no text was running`);
      await eventually(() => server.engine.restarts === round + 1, 'the engine was killed');
    }
    assert.equal(server.engine.slotsTaken, 0);
    const answer = await post(server, '/v1/completions', {
      model: 'default',
      prompt: 'x',
      max_tokens: 1,
    });
    assert.equal(answer.status, 200);
  } finally {
    await server.close();
  }
}
