/** Nobody waits for ever: whatever an upstream does or does not do, every request ends, and says why. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createBackendEngine } from '../../src/backends/create.js';
import type { BackendEngine } from '../../src/backends/engine.js';
import { PacelineError } from '../../src/base/errors.js';
import { type Behaviour, fakeWords } from './fake-upstream.js';
import { chatRequest, fakeEngine, finished, never } from './support.js';

const whole = fakeWords.join('');

const asks: Readonly<Record<string, (engine: BackendEngine) => Promise<unknown>>> = {
  'a text': (engine) => finished(engine, chatRequest()),
  vectors: (engine) => engine.embed({ model: 'fake', texts: ['a'] }, { signal: never }),
  ranks: (engine) =>
    engine.rank({ model: 'fake', query: 'a', documents: ['b'] }, { signal: never }),
  'a count': (engine) => engine.count(chatRequest(), never),
};

describe('an upstream that will never do what is asked', () => {
  for (const [name, ask] of Object.entries(asks)) {
    it(`is asked for ${name} once, and gets other requests as before`, async (t) => {
      let refuses = true;
      const behave = (): Behaviour =>
        refuses
          ? { type: 'status', status: 501, body: { error: { message: 'start it otherwise' } } }
          : { type: 'answer' };
      const { engine, upstreams } = await fakeEngine(t, [{ behave }]);
      // As many as would make a breaker open.
      for (let round = 1; round <= 4; round++) {
        await assert.rejects(ask(engine), (error) => {
          assert.ok(PacelineError.is(error) && error.code === 'platform', String(error));
          assert.match(error.message, /501: start it otherwise/);
          assert.equal(error.details.param, 'model');
          return true;
        });
        assert.equal(upstreams[0]?.requests.length, round);
      }
      assert.equal(engine.reports[0]?.failures, 0);
      refuses = false;
      assert.equal((await finished(engine, chatRequest())).choices[0]?.text, whole);
    });
  }
});

describe('an upstream that does not even begin to answer', () => {
  for (const [name, ask] of Object.entries(asks)) {
    it(`is given up when it is not well, for ${name}`, async (t) => {
      const behave = (): Behaviour => ({ type: 'mute' });
      const { engine, upstreams } = await fakeEngine(t, [{ behave }], {
        silenceMs: 30,
        patienceMs: 200,
      });
      const asked = ask(engine);
      const outcome = assert.rejects(
        asked,
        (error) => PacelineError.is(error) && error.code === 'network',
      );
      for (const upstream of upstreams) upstream.well = false;
      await outcome;
      assert.equal(engine.busy, 0);
    });
  }

  it('is given up in the end, however well it says that it is', async (t) => {
    const { engine } = await fakeEngine(t, [{ behave: () => ({ type: 'mute' }) }], {
      silenceMs: 20,
      longestSilenceMs: 60,
      patienceMs: 500,
    });
    await assert.rejects(finished(engine, chatRequest()), /was silent for/);
  });

  it('is let go when the client goes', async (t) => {
    const { engine } = await fakeEngine(t, [{ behave: () => ({ type: 'mute' }) }]);
    const signal = AbortSignal.timeout(30);
    await assert.rejects(
      finished(engine, chatRequest(), { signal }),
      (error) => PacelineError.is(error) && error.code === 'aborted',
    );
    assert.equal(engine.busy, 0);
  });
});

describe('what an upstream says', () => {
  it('keeps the field that it refuses, and its warnings', async (t) => {
    const chunks = [
      { choices: [{ delta: { content: 'x' } }] },
      { choices: [{ delta: {}, finish_reason: 'stop' }], warnings: ['It was hard.'] },
    ];
    const behave = (number: number): Behaviour =>
      number === 0
        ? { type: 'status', status: 400, body: { error: { message: 'no', param: 'top_k' } } }
        : { type: 'chunks', chunks };
    const { engine } = await fakeEngine(t, [{ behave }]);
    await assert.rejects(
      finished(engine, chatRequest()),
      (error) => PacelineError.is(error) && error.details.param === 'top_k',
    );
    const { choices } = await finished(engine, chatRequest());
    assert.deepEqual(choices[0]?.end.warnings, ['It was hard.']);
  });

  it('is told of models: what they are, and whether they are in memory', async (t) => {
    const details = { family: 'qwen3', parameter_size: '7.1M', quantization_level: 'Q8_0' };
    const told = {
      '/v1/models': { data: [{ id: 'fake', capabilities: ['completion', 'thinking'] }] },
      '/api/tags': { models: [{ name: 'fake:latest', size: 5, digest: 'd', details }] },
      '/api/ps': { models: [] },
    };
    const { engine, upstreams } = await fakeEngine(t, [{ told }], { backend: 'ollama' });
    const [model] = engine.models;
    assert.equal(model?.state, 'unloaded');
    assert.deepEqual(model.capabilities, ['completion', 'thinking']);
    assert.deepEqual(model.facts, {
      architecture: 'qwen3',
      parameters: 7_100_000,
      quantization: 'Q8_0',
      bytes: 5,
      digest: 'd',
    });
    Object.assign(told, { '/api/ps': { models: [{ name: 'fake:latest' }] } });
    await engine.refresh();
    assert.equal(engine.models[0]?.state, 'ready');
    await engine.unload('fake');
    const request = upstreams[0]?.requests.at(-1);
    assert.deepEqual([request?.model, request?.keep_alive], ['fake', 0]);
    const [other] = [await fakeEngine(t, [{}])];
    await assert.rejects(
      other.engine.unload('fake'),
      (error) => PacelineError.is(error) && error.code === 'platform',
    );
  });

  it('is one upstream, however its URL is written', async () => {
    const upstreams = [{ url: 'https://Host:443/v1/' }, { url: 'https://host' }].map(({ url }) => ({
      url,
      backend: 'openai' as const,
    }));
    await assert.rejects(
      createBackendEngine({ queueLimit: 1, upstreams }),
      /https:\/\/host is named/,
    );
  });
});
