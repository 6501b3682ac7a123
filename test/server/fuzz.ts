/** Bodies mutated from real ones: every answer has a status and a message, and comes. */
import assert from 'node:assert/strict';
import { post, startServer } from './support.js';

const messages = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: [{ type: 'text', text: 'hello' }] },
  {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }],
  },
  { role: 'tool', tool_call_id: 'c', content: 'ok' },
];
const schema = { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] };
const bodies: readonly (readonly [path: string, body: object])[] = [
  [
    '/v1/chat/completions',
    {
      model: 'default',
      messages,
      max_tokens: 2,
      temperature: 0.5,
      stop: ['x'],
      tools: [{ type: 'function', function: { name: 'f', description: 'd', parameters: schema } }],
      tool_choice: 'none',
      stream: true,
      stream_options: { include_usage: true },
      logit_bias: { '5': 1 },
    },
  ],
  ['/v1/completions', { model: 'default', prompt: [1, 2, 3], max_tokens: 2, logprobs: 1 }],
  [
    '/v1/responses',
    {
      model: 'default',
      instructions: 'x',
      input: [
        { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'hi' }] },
        { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
        { type: 'function_call_output', call_id: 'c', output: 'ok' },
      ],
      tools: [{ type: 'function', name: 'f', parameters: schema }],
      tool_choice: 'none',
      max_output_tokens: 2,
      text: { format: { type: 'text' } },
      reasoning: { effort: 'low' },
    },
  ],
  [
    '/v1/messages',
    {
      model: 'default',
      max_tokens: 2,
      system: [{ type: 'text', text: 's', cache_control: { type: 'ephemeral' } }],
      messages: [
        { role: 'user', content: 'x' },
        { role: 'assistant', content: [{ type: 'tool_use', id: 't', name: 'f', input: {} }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't', content: 'r' }] },
      ],
      thinking: { type: 'enabled', budget_tokens: 1024 },
      stream: true,
    },
  ],
  ['/v1/messages/count_tokens', { model: 'default', messages: [{ role: 'user', content: 'x' }] }],
  [
    '/api/chat',
    {
      model: 'default',
      messages: [{ role: 'user', content: 'x' }],
      options: { num_predict: 2, temperature: 0.1, stop: ['a'] },
      think: false,
    },
  ],
  ['/api/generate', { model: 'default', prompt: 'x', options: { num_predict: 2 }, raw: true }],
  ['/api/show', { model: 'default' }],
  ['/v1/embeddings', { model: 'default', input: ['x'] }],
];

/** A small generator of random numbers, so that a failure can be had again. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const strange: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e300,
  '',
  'x',
  '\ud800',
  '<|im_end|>\u0000',
  [],
  {},
  [[]],
  [null],
  { type: 'text' },
  { __proto__: 1 },
  'a'.repeat(3000),
];

/** Changes one random place of a value. */
function mutate(value: unknown, random: (below: number) => number): unknown {
  const pick = (): unknown => strange[random(strange.length)];
  if (typeof value !== 'object' || value === null || random(6) === 0) return pick();
  if (Array.isArray(value)) {
    const copy = [...value];
    const at = random(copy.length + 1);
    const how = random(4);
    if (how === 0) copy.splice(at, 1);
    else if (how === 1) copy.splice(at, 0, copy[random(copy.length)] ?? pick());
    else copy[at] = mutate(copy[at], random);
    return copy;
  }
  const copy: Record<string, unknown> = { ...value };
  const keys = Object.keys(copy);
  const key = keys[random(Math.max(1, keys.length))] ?? 'x';
  const how = random(5);
  if (how === 0) delete copy[key];
  else if (how === 1) copy[`${key}${random(3)}`] = pick();
  else copy[key] = mutate(copy[key], random);
  return copy;
}

/** The body as text; now and then damaged as text too. */
function bodyText(value: unknown, random: (below: number) => number): string {
  const text = JSON.stringify(value) ?? '';
  const at = random(text.length + 1);
  const how = random(12);
  if (how === 0) return text.slice(0, at);
  if (how === 1) return text.slice(0, at) + String.fromCharCode(random(256)) + text.slice(at);
  if (how === 2) return text.slice(0, at) + '['.repeat(300) + text.slice(at);
  return text;
}

/** Sends mutated bodies, several at once. */
export async function fuzzServer(count: number, seed: number): Promise<void> {
  const server = await startServer({ slots: 8, queue: 64 });
  const statuses = new Map<number, number>();
  try {
    const random = generator(seed);
    const one = async (number: number): Promise<void> => {
      const [path, body] = bodies[number % bodies.length] as (typeof bodies)[number];
      let mutated: unknown = body;
      for (let left = random(3); left >= 0; left--) mutated = mutate(mutated, random);
      // A text that goes on to the end of the context would only take time.
      const limited =
        typeof mutated === 'object' && mutated !== null && !Array.isArray(mutated)
          ? limitLength(path, mutated as Record<string, unknown>)
          : mutated;
      const sent = bodyText(limited, random);
      const signal = AbortSignal.timeout(60_000);
      const answer = await post(server, path, sent, { signal });
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (answer.status === 200) return;
      const { error } = answer.json ?? {};
      const message = typeof error === 'string' ? error : (error?.message as unknown);
      assert.ok(typeof message === 'string' && message.length > 3, `${sent}\n${answer.text}`);
      assert.ok(answer.status < 500 || answer.status === 501, `${sent}\n${answer.text}`);
    };
    for (let next = 0; next < count; next += 8) {
      await Promise.all(Array.from({ length: 8 }, (_, lane) => one(next + lane)));
    }
    assert.ok((statuses.get(200) ?? 0) > count / 50, 'hardly any body was accepted');
    assert.ok((statuses.get(400) ?? 0) > count / 10, 'hardly any body was refused');
    assert.equal(server.engine.restarts, 0);
    assert.equal(server.engine.slotsTaken, 0);
  } finally {
    await server.close();
  }
}

function limitLength(path: string, body: Record<string, unknown>): Record<string, unknown> {
  if (path === '/v1/chat/completions' && typeof body.max_tokens !== 'number') {
    return { ...body, max_tokens: 2 };
  }
  if (path === '/v1/responses' && typeof body.max_output_tokens !== 'number') {
    return { ...body, max_output_tokens: 2 };
  }
  const { options } = body;
  if (path.startsWith('/api/') && typeof options === 'object' && options !== null) {
    return { ...body, options: { num_predict: 2, ...options } };
  }
  return path.startsWith('/api/g') || path === '/api/chat'
    ? { ...body, options: { num_predict: 2 } }
    : body;
}
