import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { EngineSupervisor } from '../../src/server/supervisor/supervisor.js';
import { temporaryFile } from '../support/tiny-model.js';
import { killRounds } from './supervisor.js';
import { eventually, post, sseData, startServer } from './support.js';

test('texts survive the death of the engine, or fail with an error that says so', async () => {
  await killRounds(2, 100);
});

test('a stream that is cut tells it in the shape of its dialect', async () => {
  const server = await startServer();
  try {
    // Greedily the embedded model repeats itself and finds no end.
    const long = { max_tokens: 3000, temperature: 0 };
    const paths = {
      '/v1/chat/completions': { messages: [{ role: 'user', content: 'x' }], ...long },
      '/v1/messages': { messages: [{ role: 'user', content: 'y' }], ...long },
      '/api/generate': { prompt: 'z', options: { num_predict: 3000, temperature: 0 } },
    };
    const bodies: string[] = [];
    let running = 0;
    const streams = Object.entries(paths).map(async ([path, body]) => {
      const response = await fetch(server.url + path, {
        method: 'POST',
        body: JSON.stringify({ model: 'default', stream: true, ...body }),
      });
      let text = '';
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        if (text === '') running += 1;
        text += Buffer.from(chunk).toString();
      }
      bodies.push(text);
    });
    const { processId = 0 } = server.engine;
    await eventually(() => running === 3, 'all streams run');
    process.kill(processId, 'SIGKILL');
    await Promise.all(streams);
    const errors = bodies.map((body) => {
      const last = body.trimEnd().split('\n').at(-1) ?? '';
      return JSON.parse(last.replace(/^data: /, '')) as { error: unknown; type?: string };
    });
    for (const { error } of errors) {
      const message = typeof error === 'string' ? error : (error as { message: string }).message;
      assert.match(message, /engine stopped/);
    }
    assert.ok(errors.some(({ type }) => type === 'error'));
    assert.equal(sseData(bodies[0] ?? '').length > 0 || sseData(bodies[1] ?? '').length > 0, true);
    const again = await post(server, '/v1/completions', {
      model: 'default',
      max_tokens: 1,
      prompt: 'x',
    });
    assert.equal(again.status, 200);
  } finally {
    await server.close();
  }
});

/** A program that behaves like an engine that can't work. */
function brokenEngine(name: string, source: string): string {
  const path = temporaryFile(`${name}.mjs`);
  writeFileSync(path, source);
  return path;
}

const config = {
  models: [{ id: 'm', source: 'default', pinned: true }],
  load: {},
  slots: 1,
  maxLoaded: 1,
  unloadAfterMs: 0,
};
const request = { model: 'm', input: { type: 'text', text: 'x' }, settings: {} } as const;

test('a start that fails says why', async () => {
  const program = brokenEngine(
    'failing',
    `process.on('message', () => process.send({ type: 'failed', failure: {
      code: 'memory', message: 'too little', details: {} } }));`,
  );
  const engine = new EngineSupervisor({ config, queueLimit: 1, program });
  await assert.rejects(engine.start(), { code: 'memory', message: 'too little' });
  await engine.stop();
});

test('a request that kills every engine is given up, and the next one is served', async () => {
  const program = brokenEngine(
    'mortal',
    `process.on('message', (message) => {
      if (message.type === 'start') process.send({ type: 'ready' });
      if (message.type === 'stop') process.exit(0);
      if (message.type === 'run' && message.request.input.text === 'kill') process.exit(9);
      if (message.type === 'run') process.send({ type: 'reports', reports: [
        { id: message.id, event: { type: 'start', promptTokens: 1, cachedTokens: 0 } },
        { id: message.id, done: true }] });
    });`,
  );
  const notices: string[] = [];
  const engine = new EngineSupervisor({
    config,
    queueLimit: 4,
    program,
    onNotice: (_level, text) => notices.push(text),
  });
  await engine.start();
  const { signal } = new AbortController();
  const read = async (text: string): Promise<number> => {
    let events = 0;
    const input = { type: 'text', text } as const;
    for await (const batch of engine.run({ ...request, input }, { signal })) events += batch.length;
    return events;
  };
  const [killed, served] = await Promise.allSettled([read('kill'), read('fine')]);
  assert.equal(killed?.status === 'rejected' && killed.reason.code, 'internal');
  assert.equal(served?.status === 'fulfilled' && served.value, 1);
  assert.equal(engine.restarts, 3);
  assert.match(notices[0] ?? '', /died \(exit code 9\)/);
  await engine.stop();
  await assert.rejects(read('late'), { code: 'unavailable' });
});

test('while the first start is under way requests are told to come back', async () => {
  const program = brokenEngine(
    'slow',
    `process.on('message', (message) => { if (message.type === 'stop') process.exit(0); });`,
  );
  const engine = new EngineSupervisor({ config, queueLimit: 1, program });
  const started = assert.rejects(engine.start(), { code: 'unavailable' });
  const { signal } = new AbortController();
  await assert.rejects(engine.run(request, { signal }).next(), { code: 'unavailable' });
  await engine.stop();
  await started;
});
