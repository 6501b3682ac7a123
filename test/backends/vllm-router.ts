/** Two real instances of vLLM behind the router, of which one loses its core during streams. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createBackendEngine } from '../../src/backends/create.js';
import type { BackendEngine } from '../../src/backends/engine.js';
import { PacelineError } from '../../src/base/errors.js';
import type { TextRequest } from '../../src/chat/request.js';
import { chatRequest, finished } from './support.js';
import { vllmCheckpoint } from './vllm-checkpoint.js';
import { groupOf, until, VllmProcess } from './vllm-process.js';

function request(at: number, maxTokens: number): TextRequest {
  return chatRequest({
    model: 'tiny',
    input: { type: 'chat', messages: [{ role: 'user', content: `Count from ${at}` }] },
    settings: { temperature: 0, seed: at, maxTokens },
  });
}

/** Kills the process of a group that computes. */
function killCore(group: number): void {
  const core = groupOf(group).find(({ name }) => name.startsWith('VLLM::EngineCore'));
  assert.ok(core !== undefined);
  process.kill(core.pid, 'SIGKILL');
}

describe('two instances of vLLM behind the router', () => {
  const instances: VllmProcess[] = [];
  let engine: BackendEngine;
  before(async () => {
    const folder = vllmCheckpoint();
    for (let count = 0; count < 2; count++) {
      instances.push(await VllmProcess.start(folder, ['--dtype', 'float32']));
    }
    engine = await createBackendEngine({
      ...{ queueLimit: 64, healthMs: 500 },
      upstreams: instances.map(({ url }) => ({ url, backend: 'vllm' })),
    });
    await engine.start();
  });
  after(async () => {
    await engine?.stop();
    for (const instance of instances) await instance[Symbol.asyncDispose]();
  });

  test('both answer, and a text does not depend on which', async () => {
    const texts = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((at) => finished(engine, request(at, 30))),
    );
    const again = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((at) => finished(engine, request(at, 30))),
    );
    assert.deepEqual(
      again.map(({ choices }) => choices[0]?.text),
      texts.map(({ choices }) => choices[0]?.text),
    );
    for (const { requests } of engine.reports) assert.ok(requests > 0);
  });

  test('a conversation stays where its prefix is', async () => {
    const long = 'It was a dark and stormy night. '.repeat(20);
    const turn = (name: string, turns: number): TextRequest =>
      chatRequest({
        model: 'tiny',
        input: {
          type: 'chat',
          messages: [
            { role: 'user', content: `${name}: ${long}` },
            ...Array.from({ length: turns }, (_, at) => [
              { role: 'assistant' as const, content: `Answer ${at}. ` },
              { role: 'user' as const, content: 'Go on.' },
            ]).flat(),
          ],
        },
        settings: { temperature: 0, seed: 1, maxTokens: 4 },
      });
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const first = await Promise.all(names.map((name) => finished(engine, turn(name, 0))));
    assert.equal(new Set(first.map(({ choices }) => choices[0]?.end.engine)).size, 2);
    // One after the other: whoever is least busy would be the same one each time.
    for (const turns of [1, 2]) {
      for (const [at, name] of names.entries()) {
        const { start, choices } = await finished(engine, turn(name, turns));
        assert.equal(choices[0]?.end.engine, first[at]?.choices[0]?.end.engine);
        // vLLM keeps whole blocks, of 128 tokens on processors.
        const cached = choices[0]?.end.prompt?.cachedTokens ?? start.cachedTokens;
        assert.ok(cached >= 128, `${cached} of ${start.promptTokens} tokens were cached`);
      }
    }
  });

  test('one loses its core under streams: what had begun fails by name, all else is answered', async () => {
    const begun = new Set<number>();
    const all = Array.from({ length: 12 }, (_, at) =>
      finished(engine, request(at, 600), { onEvent: () => begun.add(at) }),
    );
    await until(() => begun.size >= 6);
    const before = new Set(begun);
    killCore((instances[0] as VllmProcess).pid);
    const results = await Promise.allSettled(all);
    const failed = results.flatMap((result, at) =>
      result.status === 'rejected' ? [{ at, error: result.reason as unknown }] : [],
    );
    assert.ok(failed.length < results.length);
    for (const { at, error } of failed) {
      assert.ok(before.has(at), `${at} had not begun`);
      assert.ok(PacelineError.is(error), String(error));
      assert.ok(['unavailable', 'network'].includes(error.code), error.code);
    }
    const later = await Promise.all(
      [20, 21, 22, 23].map((at) => finished(engine, request(at, 20))),
    );
    assert.equal(later.length, 4);
    await (instances[0] as VllmProcess)[Symbol.asyncDispose]();
  });
});
