/**
 * What it costs to have another engine behind Paceline: the time to the first word of one stream, and
 * the words a second of many, through Paceline against straight to the engine, in turns. Prints JSON.
 *
 *     npx tsx bench/proxy.ts [--upstream URL --model NAME] [--streams 16] [--gen 128] [--rounds 20]
 *
 * Without an upstream it is one in this process that says words at a fixed rate, so that all that is
 * measured is what the proxy adds.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { createBackendEngine, parseUpstream } from '../src/backends/create.js';
import { median } from '../src/bench/statistics.js';
import { serve } from '../src/server/serve.js';

const { values } = parseArgs({
  options: {
    upstream: { type: 'string' },
    model: { type: 'string', default: 'steady' },
    streams: { type: 'string', default: '16' },
    gen: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '20' },
    'word-ms': { type: 'string', default: '5' },
  },
});

const [streams, gen, rounds] = [Number(values.streams), Number(values.gen), Number(values.rounds)];
const steady = values.upstream === undefined ? await steadyUpstream() : undefined;
const upstream = values.upstream ?? `openai=${steady?.url}`;
const backends = await createBackendEngine({
  upstreams: [parseUpstream(upstream)],
  queueLimit: 64,
});
const server = await serve({ models: [], backends, port: 0, log: 'none' });
await server.ready;

const targets = { direct: parseUpstream(upstream).url.replace(/\/$/, ''), proxy: server.address };
type Target = keyof typeof targets;
const firsts: Record<Target, number[]> = { direct: [], proxy: [] };
const rates: Record<Target, number[]> = { direct: [], proxy: [] };
const order: readonly Target[] = ['direct', 'proxy'];

for (let round = 0; round < rounds + 2; round++) {
  // The first rounds warm up; the order changes, so that neither side has an advantage.
  const turn = round % 2 === 0 ? order : [...order].reverse();
  for (const target of turn) {
    const { firstMs } = await stream(targets[target], 8);
    const began = performance.now();
    const all = await Promise.all(
      Array.from({ length: streams }, () => stream(targets[target], gen)),
    );
    const seconds = (performance.now() - began) / 1000;
    if (round < 2) continue;
    firsts[target].push(firstMs);
    rates[target].push(all.reduce((sum, { words }) => sum + words, 0) / seconds);
  }
}

const firstMs = { direct: median(firsts.direct), proxy: median(firsts.proxy) };
const wordsPerSecond = { direct: median(rates.direct), proxy: median(rates.proxy) };
process.stdout.write(
  `${JSON.stringify(
    {
      upstream: values.upstream ?? 'steady',
      streams,
      gen,
      rounds,
      load: loadavg()[0],
      first_ms: firstMs,
      first_added_ms: firstMs.proxy - firstMs.direct,
      words_per_second: wordsPerSecond,
      throughput_lost: 1 - wordsPerSecond.proxy / wordsPerSecond.direct,
    },
    undefined,
    2,
  )}\n`,
);
await server.close(0);
steady?.close();

async function stream(url: string, tokens: number): Promise<{ firstMs: number; words: number }> {
  const began = performance.now();
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: values.model,
      messages: [{ role: 'user', content: 'Count' }],
      max_tokens: tokens,
      temperature: 0,
      stream: true,
    }),
  });
  if (!response.ok || response.body === null) throw new Error(await response.text());
  let firstMs: number | undefined;
  let words = 0;
  const decoder = new TextDecoder();
  for await (const piece of response.body) {
    const found = decoder.decode(piece, { stream: true }).split('"content":"').length - 1;
    // The first chunk says who speaks, and nothing else.
    if (found > 0) words += found;
    if (words > 1) firstMs ??= performance.now() - began;
  }
  return { firstMs: firstMs ?? performance.now() - began, words };
}

/** Says words at a fixed rate to everyone. */
async function steadyUpstream() {
  const wordMs = Number(values['word-ms']);
  const upstreamServer = createServer(async (request, response) => {
    if (request.method === 'GET') {
      response.end(JSON.stringify({ data: [{ id: values.model, owned_by: 'steady' }] }));
      return;
    }
    let text = '';
    for await (const piece of request) text += piece;
    const body = JSON.parse(text) as { max_tokens?: number; max_completion_tokens?: number };
    const wanted = body.max_completion_tokens ?? body.max_tokens ?? 16;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const say = (value: unknown): boolean => response.write(`data: ${JSON.stringify(value)}\n\n`);
    say({ choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] });
    const began = performance.now();
    for (let word = 0; word < wanted; word++) {
      const wait = began + word * wordMs - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      say({ choices: [{ index: 0, delta: { content: 'word ' } }] });
    }
    say({ choices: [{ index: 0, delta: {}, finish_reason: 'length' }] });
    say({ choices: [], usage: { prompt_tokens: 8, completion_tokens: wanted } });
    response.end('data: [DONE]\n\n');
  });
  await new Promise<void>((resolve) => upstreamServer.listen(0, '127.0.0.1', resolve));
  const { port } = upstreamServer.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, close: () => upstreamServer.close() };
}
