/** Models that continue no texts, behind the server: vectors and ranks, and what they refuse. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { writeGguf } from '../../src/gguf/writer.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';
import { startServer, type TestServer } from './support.js';

async function encoder(name: string, classes?: { readonly count: number }): Promise<string> {
  const path = temporaryFile(name);
  const sizes = { layers: 1, embedding: 64, heads: 2, inner: 64, context: 128 };
  await writeGguf(
    path,
    randomModel({ architecture: 'bert', ...sizes, ...(classes ? { classes } : {}) }),
  );
  return path;
}

interface Ranked {
  readonly index: number;
  readonly relevance_score: number;
  readonly document?: { readonly text: string };
}

/** What any of the answers has. */
interface Json {
  readonly object: string;
  readonly usage: { readonly prompt_tokens: number };
  readonly results: readonly Ranked[];
  readonly data: readonly { readonly embedding: number[] }[];
  readonly embeddings: readonly number[][];
  readonly error: { readonly message: string; readonly code: string; readonly param: string };
}

describe('models that are only read', () => {
  let server: TestServer;
  before(async () => {
    const models = [await encoder('vectors.gguf'), await encoder('ranks.gguf', { count: 1 })];
    server = await startServer({ models });
  });
  after(() => server.close());

  async function post(path: string, body: unknown): Promise<{ status: number; json: Json }> {
    const response = await fetch(`${server.url}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    return { status: response.status, json: (await response.json()) as Json };
  }

  it('rank documents', async () => {
    const documents = ['one', { text: 'two and more' }, 'three'];
    const query = { model: 'ranks', query: 'which', documents };
    const { status, json } = await post('/v1/rerank', query);
    assert.equal(status, 200);
    assert.equal(json.object, 'list');
    assert.ok(json.usage.prompt_tokens > 10);
    const scores = json.results.map((result) => result.relevance_score);
    assert.deepEqual(
      scores,
      scores.toSorted((a, b) => b - a),
    );
    assert.deepEqual(json.results.map((result) => result.index).toSorted(), [0, 1, 2]);
    assert.ok(json.results.every((result) => result.document === undefined));

    const short = await post('/v1/rerank', { ...query, top_n: 2, return_documents: true });
    assert.deepEqual(
      short.json.results.map(({ document: _, ...rest }) => rest),
      json.results.slice(0, 2),
    );
    const texts = documents.map((given) => (typeof given === 'string' ? given : given.text));
    for (const { index, document } of short.json.results) {
      assert.deepEqual(document, { text: texts[index] });
    }
  });

  it('make vectors in both dialects', async () => {
    const openai = await post('/v1/embeddings', { model: 'vectors', input: ['a', 'b c'] });
    const ollama = await post('/api/embed', { model: 'vectors', input: ['a', 'b c'] });
    assert.deepEqual(
      openai.json.data.map(({ embedding }) => embedding),
      ollama.json.embeddings,
    );
    const vector = ollama.json.embeddings[0] as number[];
    assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-5);
    const long = await post('/v1/embeddings', { model: 'vectors', input: 'x '.repeat(200) });
    assert.deepEqual([long.status, long.json.error.code], [400, 'context_length_exceeded']);
  });

  it('refuse by name what they are not for', async () => {
    const messages = [{ role: 'user', content: 'Hello' }];
    for (const model of ['vectors', 'ranks']) {
      const { status, json } = await post('/v1/chat/completions', { model, messages });
      assert.equal(status, 501);
      assert.match(json.error.message, /cannot continue/);
    }
    const wrong = await post('/v1/rerank', { model: 'vectors', query: 'x', documents: ['y'] });
    assert.deepEqual([wrong.status, wrong.json.error.param], [501, 'model']);
    const vectors = await post('/v1/embeddings', { model: 'ranks', input: 'x' });
    assert.equal(vectors.status, 501);
    const empty = await post('/v1/rerank', { model: 'ranks', query: 'x', documents: [] });
    assert.deepEqual([empty.status, empty.json.error.param], [400, 'documents']);
  });
});
