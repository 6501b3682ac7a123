/** The official client of Ollama against a server on loopback. */
import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { Ollama } from 'ollama';
import { post, type TestServer } from '../support.js';
import { clientServer, it, slotsAreFree } from './server.js';

const messages = [{ role: 'user', content: 'Write a loop in TypeScript.' }];
const options = { temperature: 0, num_predict: 8 };

describe('the ollama client', () => {
  let server: TestServer;
  let client: Ollama;
  before(async () => {
    server = await clientServer();
    client = new Ollama({ host: server.url });
  });

  it('chats, whole and streamed, with the same words', async () => {
    const whole = await client.chat({ model: 'default', messages, options });
    assert.equal(whole.done, true);
    assert.equal(whole.done_reason, 'length');
    assert.equal(whole.eval_count, 8);
    assert.ok(whole.prompt_eval_count > 0 && whole.total_duration > 0);
    let text = '';
    let last: unknown;
    for await (const part of await client.chat({
      model: 'default:latest',
      messages,
      options,
      stream: true,
    })) {
      text += part.message.content;
      last = part.done;
    }
    assert.equal(text, whole.message.content);
    assert.equal(last, true);
  });

  it('generates, raw and with the template', async () => {
    const raw = await client.generate({ model: 'default', prompt: 'export ', raw: true, options });
    const chat = await client.generate({
      model: 'default',
      prompt: messages[0]?.content ?? '',
      options,
    });
    const other = await client.chat({ model: 'default', messages, options });
    assert.ok((raw.response ?? '').length > 0);
    assert.equal(chat.response, other.message.content);
    let text = '';
    const stream = {
      model: 'default',
      prompt: 'export ',
      raw: true,
      options,
      stream: true,
    } as const;
    for await (const part of await client.generate(stream)) text += part.response;
    assert.equal(text, raw.response);
  });

  it('thinks apart', async () => {
    const settings = { model: 'thinking', messages, options: { num_predict: 6, seed: 1 } };
    const whole = await client.chat({ ...settings, think: true });
    assert.ok((whole.message.thinking ?? '').length > 0);
    assert.equal(whole.message.content, '');
    const quiet = await client.chat({ ...settings, think: false });
    assert.equal(quiet.message.thinking, undefined);
    assert.ok(quiet.message.content.length > 0);
  });

  it('lists, shows and tells what is in memory', async () => {
    const { models } = await client.list();
    assert.deepEqual(
      models.map(({ name }) => name),
      ['default:latest', 'thinking:latest'],
    );
    assert.match(models[0]?.digest ?? '', /^[0-9a-f]{64}$/);
    const shown = await client.show({ model: 'default' });
    assert.equal(shown.details.family, 'qwen3');
    assert.ok(shown.capabilities.includes('completion'));
    const { models: loaded } = await client.ps();
    assert.ok(loaded.some(({ name }) => name === 'default:latest'));
    const version = await post(server, '/api/show', { model: 'none' });
    assert.equal(version.status, 404);
    assert.equal(typeof version.json.error, 'string');
  });

  it('loads and unloads without a prompt', async () => {
    const loaded = await client.generate({ model: 'thinking', prompt: '' });
    assert.equal(loaded.done_reason, 'load');
    const names = async (): Promise<string[]> => (await client.ps()).models.map(({ name }) => name);
    assert.deepEqual(await names(), ['default:latest', 'thinking:latest']);
    const gone = await client.generate({ model: 'thinking', prompt: '', keep_alive: 0 });
    assert.equal(gone.done_reason, 'unload');
    assert.deepEqual(await names(), ['default:latest']);
  });

  it('fails in one sentence, also for what is not supported', async () => {
    await assert.rejects(client.chat({ model: 'none', messages }), /There is no model "none"/);
    await assert.rejects(
      client.chat({
        model: 'default',
        messages: [{ role: 'user', content: 'x', images: ['AA=='] }],
      }),
      /images are not supported/,
    );
    await assert.rejects(client.generate({ model: 'default', prompt: 'a', suffix: 'b' }), /suffix/);
    await assert.rejects(
      client.chat({ model: 'default', messages, options: { ...{ mirostat: 2 } } }),
      /options\.mirostat/,
    );
  });

  it('embeds one text and several', async () => {
    const many = await client.embed({ model: 'default', input: ['const x', 'let y'] });
    const one = await client.embed({ model: 'default', input: 'let y' });
    assert.deepEqual(one.embeddings[0], many.embeddings[1]);
    assert.ok(many.prompt_eval_count > one.prompt_eval_count);
    const old = await client.embeddings({ model: 'default', prompt: 'let y' });
    assert.deepEqual(old.embedding, one.embeddings[0]);
    const cut = await client.embed({ model: 'default', input: 'let y', dimensions: 8 });
    assert.equal(cut.embeddings[0]?.length, 8);
    const input = 'const value = 1;\n'.repeat(3000);
    await assert.rejects(client.embed({ model: 'default', input }), /context/);
  });

  it('frees the slot of a stream that is aborted', async () => {
    const stream = await client.chat({
      model: 'default',
      messages,
      stream: true,
      options: { num_predict: 1500, seed: 2 },
    });
    await assert.rejects(async () => {
      for await (const _ of stream) stream.abort();
    });
    await slotsAreFree(server);
  });
});
