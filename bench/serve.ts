/**
 * What the server adds to the engine and how it shares. Prints JSON, and progress on stderr.
 *
 *     npx tsx bench/serve.ts [model.gguf | --shape NAME] [--part overhead,streams,question,constraint]
 *         [--minutes 0] [--gen 128] [--prompt 4000] [--streams 8] [--runs 5]
 *         [--vs llama-server --llama-server PATH]
 *
 * - `overhead`: one stream over HTTP against the engine in process, in turns.
 * - `streams`: so many streams at once against one.
 * - `question`: a short question while a long prompt is read: its first token, and the longest gap of a
 *   running stream.
 * - `constraint`: a tool's call under its schema against free text.
 *
 * With `--minutes` each part ends after its share of them, with the runs that it has done (`runs`), or
 * `unfinished`. With `--vs`, llama-server does `streams` and `question` after ours. Without a model it is a
 * Qwen3-0.6B shape with random weights.
 */
import { setMaxListeners } from 'node:events';
import { availableParallelism, loadavg } from 'node:os';
import { setTimeout } from 'node:timers/promises';
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
    shape: { type: 'string', default: 'qwen3-0.6b' },
    part: { type: 'string', default: 'overhead,streams,question,constraint' },
    minutes: { type: 'string', default: '0' },
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

/** The time of a part is over. */
class TimeUp extends Error {}

interface Request {
  readonly length: number;
  readonly salt: number;
  readonly tokens: number;
}

async function completion(server: BenchServer, request: Request, signal: AbortSignal) {
  const { length, salt, tokens } = request;
  const body = { prompt: prompt(length, salt), max_tokens: tokens, ...plain, ...ours(server) };
  return checked(await stream(server, '/v1/completions', body, { signal }));
}

function checked(streamed: Streamed): Streamed {
  if (streamed.end === 'aborted') throw new TimeUp();
  if (streamed.end !== 'whole') throw new Error(streamed.message ?? streamed.end);
  return streamed;
}

/** Does something again and again until the time is over; how often all of it was done, at least once. */
async function repeat(from: number, work: (run: number) => Promise<void>): Promise<number> {
  for (let run = from; run < runs; run++) {
    try {
      await work(run);
    } catch (error) {
      if (error instanceof TimeUp && run > 0) return run;
      throw error;
    }
  }
  return runs;
}

/** Milliseconds a token between the first and the last piece of a text. */
function pace({ times, tokens }: Streamed): number {
  return ((times.at(-1) ?? 0) - (times[0] ?? 0)) / Math.max(1, tokens - 1);
}

/** The same text by the engine in this process and over HTTP, in turns. */
async function overhead(server: BenchServer, signal: AbortSignal) {
  await using model = await loadModel(file, {
    contextLength: promptTokens + gen + 64,
    threads: Number(values.threads),
  });
  const engine: number[] = [];
  const http: number[] = [];
  const settings = { ...plain, maxTokens: gen, draft: 'none', signal } as const;
  const once = async (run: number): Promise<void> => {
    let [first, last, count] = [0, 0, 0];
    for await (const event of model.stream(prompt(promptTokens, run), settings)) {
      if (event.type !== 'text') continue;
      last = performance.now();
      first ||= last;
      count += event.tokens.length;
    }
    if (signal.aborted) throw new TimeUp();
    const request = { length: promptTokens, salt: run, tokens: gen };
    const over = pace(await completion(server, request, signal));
    if (run < 0) return; // warms up
    engine.push((last - first) / Math.max(1, count - 1));
    http.push(over);
  };
  const done = await repeat(-1, once);
  return {
    runs: done,
    engine_ms: median(engine),
    http_ms: median(http),
    overhead: median(http.map((value, at) => value / (engine[at] ?? value))) - 1,
  };
}

/** Tokens a second of so many streams at once. */
async function aggregate(server: BenchServer, count: number, salt: number, signal: AbortSignal) {
  const began = performance.now();
  const all = await Promise.all(
    Array.from({ length: count }, (_, at) =>
      completion(server, { length: promptTokens, salt: salt * 1000 + at, tokens: gen }, signal),
    ),
  );
  const seconds = (performance.now() - began) / 1000;
  return all.reduce((sum, { tokens }) => sum + tokens, 0) / seconds;
}

async function sharing(server: BenchServer, signal: AbortSignal) {
  const one: number[] = [];
  const many: number[] = [];
  const done = await repeat(0, async (run) => {
    const alone = await aggregate(server, 1, 100 + run, signal);
    many.push(await aggregate(server, streams, 200 + run, signal));
    one.push(alone);
  });
  return {
    ...{ runs: done, streams, one_tps: median(one), many_tps: median(many) },
    gain: median(many) / median(one),
  };
}

/** A text runs, a long prompt comes, then a short question: when its first token comes, and the longest gap. */
async function question(server: BenchServer, signal: AbortSignal) {
  const salt = 300;
  const alone = pace(await completion(server, { length: promptTokens, salt, tokens: gen }, signal));
  const stop = new AbortController();
  const running = stream(
    server,
    '/v1/completions',
    {
      ...{ prompt: prompt(promptTokens, salt + 1), max_tokens: Number(values.prompt) },
      ...plain,
      ...ours(server),
    },
    { signal: AbortSignal.any([stop.signal, signal]) },
  );
  const began = performance.now();
  try {
    await setTimeout(20 * alone + 500);
    const from = performance.now() - began;
    const long = { length: Number(values.prompt), salt: salt + 2, tokens: 1 };
    const reading = completion(server, long, signal);
    reading.catch(() => {}); // seen below
    await setTimeout(100);
    const short = { length: questionTokens, salt: salt + 3, tokens: 4 };
    const asked = await completion(server, short, signal);
    await reading;
    const until = performance.now() - began;
    stop.abort();
    const { times } = await running;
    const gaps = times.flatMap((time, at) => {
      const before = times[at - 1];
      return before !== undefined && before >= from && time <= until ? [time - before] : [];
    });
    return {
      prompt: Number(values.prompt),
      step_ms: alone,
      first_token_ms: asked.times[0] ?? null,
      longest_gap_ms: gaps.length > 0 ? Math.max(...gaps) : null,
      longest_gap_steps: gaps.length > 0 ? Math.max(...gaps) / alone : null,
    };
  } finally {
    stop.abort();
    await running;
  }
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
async function constraint(server: BenchServer, signal: AbortSignal) {
  const messages = [{ role: 'user', content: 'Find it.' }];
  const chat = async (body: object): Promise<Streamed> =>
    checked(
      await stream(server, '/v1/chat/completions', { messages, ...plain, ...body }, { signal }),
    );
  const perToken = ({ decodeMs = Number.NaN, tokens }: Streamed): number => decodeMs / tokens;
  const rows: Record<'free' | 'held' | 'held_drafts', number[]> = {
    free: [],
    held: [],
    held_drafts: [],
  };
  const done = await repeat(-1, async (run) => {
    const call = {
      tools: [tool],
      tool_choice: 'required',
      parallel_tool_calls: false,
      seed: run + 1,
    };
    const held = await chat({ ...call, max_tokens: 400, draft: 'none' });
    const drafted = await chat({ ...call, max_tokens: 400, draft: 'auto' });
    const free = await chat({ max_tokens: held.tokens, draft: 'none', seed: run + 1 });
    if (run < 0) return; // compiles the schema
    rows.held.push(perToken(held));
    rows.held_drafts.push(perToken(drafted));
    rows.free.push(perToken(free));
  });
  const free = median(rows.free);
  return {
    runs: done,
    free_ms: free,
    held_ms: median(rows.held),
    held_drafts_ms: median(rows.held_drafts),
    ratio: median(rows.held) / free,
    ratio_drafts: median(rows.held_drafts) / free,
  };
}

const parts = { overhead, streams: sharing, question, constraint };
type Part = keyof typeof parts;
const isPart = (name: string): name is Part => Object.hasOwn(parts, name);
const wanted = values.part.split(',').map((name): Part => {
  if (isPart(name)) return name;
  throw new Error(`There is no part ${name}: they are ${Object.keys(parts).join(', ')}`);
});
/** What llama-server does too. */
const shared = wanted.filter((name) => name === 'streams' || name === 'question');
const peer = values.vs === 'llama-server';

const note = (text: string): void => void process.stderr.write(`${text}\n`);
const file = positionals[0] ?? (await cachedShapeModel(cacheFolder(), values.shape, 'q4_0'));
const options = {
  file,
  slots: Math.max(streams, 3),
  context: Number(values.prompt) + gen + 512,
  threads: Number(values.threads),
};
const tasks = wanted.length + (peer ? shared.length : 0);
const shareMs = (Number(values.minutes) * 60_000) / tasks;
type Results = Partial<Record<Part, object>>;

/** One part after the other, each in its share of the time; what fails does not end the others. */
async function measure(server: BenchServer, names: readonly Part[]): Promise<Results> {
  const results: Results = {};
  for (const name of names) {
    note(`${server.name}: ${name}`);
    const signal = shareMs > 0 ? AbortSignal.timeout(shareMs) : new AbortController().signal;
    setMaxListeners(0, signal); // each stream listens
    const began = performance.now();
    try {
      results[name] = await parts[name](server, signal);
    } catch (error) {
      if (error instanceof TimeUp) results[name] = { unfinished: true };
      else results[name] = { error: String((error as Error).message) };
    }
    const seconds = (performance.now() - began) / 1000;
    note(`${server.name}: ${name} in ${seconds.toFixed(0)} s: ${JSON.stringify(results[name])}`);
  }
  return results;
}

async function withServer(start: Promise<BenchServer>, names: readonly Part[]): Promise<Results> {
  const server = await start;
  try {
    return await measure(server, names);
  } finally {
    await server.stop();
  }
}

note(`${file}: starting paceline`);
const own = await withServer(startPaceline(options), wanted);
let theirs: Results | undefined;
if (peer && shared.length > 0) {
  note('starting llama-server');
  theirs = await withServer(startLlamaServer(values['llama-server'], options), shared);
}
const ratio = (key: 'one_tps' | 'many_tps'): number | null => {
  const of = (results?: Results) => Number((results?.streams as Record<string, number>)?.[key]);
  const found = of(own) / of(theirs);
  return Number.isFinite(found) ? found : null;
};
const about = { ...options, gen, load: loadavg() };
const ratios = { one: ratio('one_tps'), many: ratio('many_tps') };
const against = theirs === undefined ? {} : { llama_server: theirs, ratios };
process.stdout.write(`${JSON.stringify({ ...about, ...own, ...against }, null, 2)}\n`);
