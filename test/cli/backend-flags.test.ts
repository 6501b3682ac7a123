import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { backendEngine } from '../../src/cli/backend-flags.js';
import { FakeUpstream } from '../backends/fake-upstream.js';
import { chatRequest, finished } from '../backends/support.js';
import { temporaryFile } from '../support/tiny-model.js';

const others = {
  upstreamSlots: 4,
  slots: 4,
  queue: 4,
  maxModels: 1,
  unloadAfter: 0,
  prefer: 'own',
  spillAfter: 0,
} as const;

describe('the flags of other engines', () => {
  it('find the key of an upstream, however its URL is written', async (t) => {
    const upstream = await new FakeUpstream().start();
    t.after(() => upstream.kill());
    const { port } = upstream;
    const file = temporaryFile('keys');
    writeFileSync(file, `# keys\nHTTP://LocalHost:${port}/v1/ right-key\nhttp://other wrong-key\n`);
    for (const url of [`http://localhost:${port}`, `openai=HTTP://LOCALHOST:${port}/v1`]) {
      const flags = { ...others, upstream: [url], upstreamKeyFile: file };
      const engine = await backendEngine([], flags, () => {});
      assert.ok(engine !== undefined);
      t.after(() => engine.stop());
      await engine.start();
      await finished(engine, chatRequest());
      assert.equal(upstream.headers.at(-1)?.authorization, 'Bearer right-key');
    }
  });

  it('name the file with a key for something that is no URL', async () => {
    const file = temporaryFile('bad-keys');
    writeFileSync(file, 'host:8000 secret\n');
    const flags = { ...others, upstream: ['openai=http://host:8000'], upstreamKeyFile: file };
    await assert.rejects(
      backendEngine([], flags, () => {}),
      (error: Error) => {
        assert.ok(error.message.includes(file), error.message);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
  });
});
