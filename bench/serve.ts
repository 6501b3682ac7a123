/**
 * What the server adds to the engine and how it shares: one stream over HTTP against the engine in
 * process, eight streams against one, a short question while a long prompt is read, a tool's call
 * under its schema against free text. Prints JSON.
 *
 *     npx tsx bench/serve.ts [model.gguf] [--gen 128] [--prompt 4000] [--streams 8] [--runs 5]
 *         [--vs llama-server --llama-server PATH]
 *
 * Without a model it is a Qwen3-0.6B shape with random weights.
 */
import { availableParallelism, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { cacheFolder } from '../src/base/paths.js';
import { median } from '../src/bench/statistics.js';
import { loadModel } from '../src/engine/load.js';
import { cachedShapeModel } from '../src/synthetic/shape-model.js';
import {
  type BenchServer,
  randomPrompt,
  type Streamed,
  startLlamaServer,
  startPaceline,
  stream,
} from './servers.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    gen: { type: 'string', default: '128' },
    prompt: { type: 'string', default: '4000' },
    streams: { type: 'string', default: '8' },
    runs: { type: 'string', default: '5' },
    threads: { type: 'string', default: String(availableParallelism()) },
    vocabulary: { type: 'string', default: '90000' },
    vs: { type: 'string' },
    'llama-server': { type: 'string', default: 'llama-server' },
  },
});

const gen = Number(values.gen);
const runs = Number(values.runs);
const streams = Number(values.streams);
const questionTokens = 20;
const promptTokens = 64;

const prompt = (length: number, salt: number): number[] =>
  randomPrompt(length, salt, Number(values.vocabulary));

const plain = { temperature: 0.8, seed: 1 };
/** Without drafts a token takes as long each time, and what is added is not hidden in guesses. */
const ours = (server: BenchServer): object => (server.name === 'paceline' ? { draft: 'none' } : {});

async function completion(server: BenchServer, length: number, salt: number, tokens: number) {
  const body = { prompt: prompt(length, salt), max_tokens: tokens, ...plain, ...ours(server) };
  return checked(await stream(server, '/v1/completions', body));
}

function checked(streamed: Streamed): Streamed {
  if (streamed.end !== 'whole') throw new Error(streamed.message ?? streamed.end);
  return streamed;
}

/** Milliseconds a token between the first and the last piece of a text. */
function pace({ times, tokens }: Streamed): number {
  return ((times.at(-1) ?? 0) - (times[0] ?? 0)) / Math.max(1, tokens - 1);
}

/** The same text by the engine in this process and over HTTP, in turns. */
async function overhead(server: BenchServer, file: string) {
  const model = await loadModel(file, {
    contextLength: promptTokens + gen + 64,
    threads: Number(values.threads),
  });
  const engine: number[] = [];
  const http: number[] = [];
  for (let run = 0; run <= runs; run++) {
    const tokens = prompt(promptTokens, run);
    let [first, last, count] = [0, 0, 0];
    for await (const event of model.stream(tokens, { ...plain, maxTokens: gen, draft: 'none' })) {
      if (event.type !== 'text') continue;
      last = performance.now();
      first ||= last;
      count += event.tokens.length;
    }
    const over = pace(await completion(server, promptTokens, run, gen));
    if (run === 0) continue; // warms up
    engine.push((last - first) / Math.max(1, count - 1));
    http.push(over);
  }
  await model.dispose();
  return {
    engine_ms: median(engine),
    http_ms: median(http),
    overhead: median(http.map((value, at) => value / (engine[at] ?? value))) - 1,
  };
}

/** Tokens a second of so many streams at once, by the time in which all of them were decoding. */
async function aggregate(server: BenchServer, count: number, salt: number): Promise<number> {
  const began = performance.now();
  const all = await Promise.all(
    Array.from({ length: count }, (_, at) =>
      completion(server, promptTokens, salt * 1000 + at, gen),
    ),
  );
  const seconds = (performance.now() - began) / 1000;
  return all.reduce((sum, { tokens }) => sum + tokens, 0) / seconds;
}

async function sharing(server: BenchServer) {
  const one: number[] = [];
  const many: number[] = [];
  for (let run = 0; run < runs; run++) {
    one.push(await aggregate(server, 1, 100 + run));
    many.push(await aggregate(server, streams, 200 + run));
  }
  return { one_tps: median(one), many_tps: median(many), gain: median(many) / median(one) };
}

/** A text runs, a long prompt comes, then a short question: when its first token comes, and the longest gap. */
async function question(server: BenchServer, salt: number) {
  const alone = pace(await completion(server, promptTokens, salt, gen));
  const stop = new AbortController();
  const body = {
    prompt: prompt(promptTokens, salt + 1),
    max_tokens: 4000,
    ...plain,
    ...ours(server),
  };
  const running = stream(server, '/v1/completions', body, { signal: stop.signal });
  const began = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 20 * alone + 500));
  const from = performance.now() - began;
  const reading = completion(server, Number(values.prompt), salt + 2, 1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const asked = await completion(server, questionTokens, salt + 3, 4);
  await reading;
  const until = performance.now() - began;
  stop.abort();
  const { times } = await running;
  const gaps = times.flatMap((time, at) => {
    const before = times[at - 1];
    return before !== undefined && before >= from && time <= until ? [time - before] : [];
  });
  return {
    step_ms: alone,
    first_token_ms: asked.times[0] ?? Number.NaN,
    longest_gap_ms: Math.max(...gaps),
    longest_gap_steps: Math.max(...gaps) / alone,
  };
}

const tool = {
  type: 'function',
  function: {
    name: 'search_files',
    parameters: {
      type: 'object',
      properties: {
        pattern: { type: 'string', maxLength: 80 },
        folder: { enum: ['source', 'tests', 'documentation'] },
        recursive: { type: 'boolean' },
        limit: { type: 'integer', minimum: 1, maximum: 500 },
      },
      required: ['pattern', 'folder', 'recursive', 'limit'],
      additionalProperties: false,
    },
  },
};

/** Milliseconds a token of calls under a schema, and of free text of the same length. */
async function constraint(server: BenchServer) {
  const messages = [{ role: 'user', content: 'Find it.' }];
  const chat = async (body: object): Promise<Streamed> =>
    checked(await stream(server, '/v1/chat/completions', { messages, ...plain, ...body }));
  const perToken = ({ decodeMs = Number.NaN, tokens }: Streamed): number => decodeMs / tokens;
  const rows: Record<'free' | 'held' | 'held_drafts', number[]> = {
    free: [],
    held: [],
    held_drafts: [],
  };
  for (let run = 0; run <= runs; run++) {
    const call = { tools: [tool], tool_choice: 'required', parallel_tool_calls: false, seed: run };
    const held = await chat({ ...call, max_tokens: 400, draft: 'none' });
    const drafted = await chat({ ...call, max_tokens: 400, draft: 'auto' });
    const free = await chat({ max_tokens: held.tokens, draft: 'none', seed: run });
    if (run === 0) continue; // compiles the schema
    rows.held.push(perToken(held));
    rows.held_drafts.push(perToken(drafted));
    rows.free.push(perToken(free));
  }
  const free = median(rows.free);
  return {
    free_ms: free,
    held_ms: median(rows.held),
    held_drafts_ms: median(rows.held_drafts),
    ratio: median(rows.held) / free,
    ratio_drafts: median(rows.held_drafts) / free,
  };
}

const file = positionals[0] ?? (await cachedShapeModel(cacheFolder(), 'qwen3-0.6b', 'q4_0'));
const options = {
  file,
  slots: streams,
  context: Number(values.prompt) + gen + 512,
  threads: Number(values.threads),
};
const server = await startPaceline(options);
try {
  const shared = await sharing(server);
  const peer: { shared?: Awaited<ReturnType<typeof sharing>>; question?: object } = {};
  if (values.vs === 'llama-server') {
    const other = await startLlamaServer(values['llama-server'], options);
    try {
      peer.shared = await sharing(other);
      peer.question = await question(other, 500);
    } finally {
      await other.stop();
    }
  }
  const asked = await question(server, 300);
  const held = await constraint(server);
  const added = await overhead(server, file);
  const theirs = peer.shared;
  process.stdout.write(
    `${JSON.stringify(
      {
        ...options,
        gen,
        runs,
        load: loadavg(),
        overhead: added,
        streams: shared,
        question: asked,
        constraint: held,
        ...(theirs === undefined
          ? {}
          : {
              llama_server: peer,
              ratios: {
                one: shared.one_tps / theirs.one_tps,
                many: shared.many_tps / theirs.many_tps,
              },
            }),
      },
      null,
      2,
    )}\n`,
  );
} finally {
  await server.stop();
}
