/**
 * Many texts at once: how many rows share a pass, what that gives in all, and how long a short
 * question waits while a long prompt is read. Prints JSON.
 *
 *     npx tsx bench/scheduler.ts [model] [texts] [tokens]
 */
import { loadModel, type StreamEvent } from '../src/index.js';

const [name = 'default', texts = '32', tokens = '64'] = process.argv.slice(2);
const kinds = ['none', 'ngram', 'mtp', 'dflash', 'auto'] as const;

const model = await loadModel(name, { contextLength: 4096 });
const { runner, drafterSources } = model.runtime;
const known = kinds.filter(
  (kind) => kind === 'none' || kind === 'auto' || drafterSources.some((s) => s.name === kind),
);
const passes: { texts: number; rows: number; ms: number }[] = [];
const run = runner.run.bind(runner);
runner.run = async (requests, signal) => {
  const outcome = await run(requests, signal);
  const rows = requests.reduce((sum, request) => sum + request.tokens.length, 0);
  passes.push({ texts: requests.length, rows, ms: outcome.ms });
  return outcome;
};

const prompt = (index: number) => `export function task${index}(input: string): `;
const ends = [...model.tokenizer.vocabulary.endOfGeneration];
const bias = Object.fromEntries(ends.map((id) => [id, Number.NEGATIVE_INFINITY]));

/** Reads a stream as slowly as some clients do. */
async function read(stream: AsyncIterable<StreamEvent>, index: number): Promise<number> {
  let count = 0;
  for await (const event of stream) {
    if (event.type === 'text') count += event.tokens.length;
    if (index % 4 === 1) await new Promise((resolve) => setImmediate(resolve));
    if (index % 4 === 2) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return count;
}

/** So many texts at once: tokens a second in all, and what a pass held. */
async function together(count: number) {
  passes.length = 0;
  const started = performance.now();
  const counts = await Promise.all(
    Array.from({ length: count }, (_, index) => {
      const draft = known[index % known.length] ?? 'none';
      const options = { maxTokens: Number(tokens), temperature: 0.8, seed: index, draft };
      return read(model.stream(prompt(index), { ...options, logitBias: bias }), index);
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  const sum = (value: (pass: (typeof passes)[number]) => number) =>
    passes.reduce((total, pass) => total + value(pass), 0);
  return {
    texts: count,
    tokens_per_second: counts.reduce((a, b) => a + b, 0) / seconds,
    passes: passes.length,
    mean_texts: sum((pass) => pass.texts) / passes.length,
    mean_rows: sum((pass) => pass.rows) / passes.length,
  };
}

/** A short question while a long prompt is read and another text runs: when its first token comes. */
async function question() {
  const words = model.tokenizer.encode('const value = compute(first, second);\n');
  const long = Array.from({ length: 3500 }, (_, at) => words[at % words.length] ?? 0);
  const stop = new AbortController();
  const running = model.stream(prompt(0), {
    temperature: 0,
    draft: 'none',
    logitBias: bias,
    signal: stop.signal,
  });
  for (let step = 0; step < 20; step++) await running.next();
  const plainMs = passes.slice(-10).reduce((sum, { ms }) => sum + ms, 0) / 10;
  let longest = 0;
  const watching = (async () => {
    let last = performance.now();
    for await (const _ of running) {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }
  })();
  const reading = model.generate(long, { maxTokens: 1, draft: 'none' });
  await new Promise((resolve) => setTimeout(resolve, 20));
  const asked = performance.now();
  await model.stream(words.slice(0, 20), { maxTokens: 1, draft: 'none' }).next();
  const waitedMs = performance.now() - asked;
  await reading;
  stop.abort();
  await watching;
  return {
    plain_step_ms: plainMs,
    first_token_ms: waitedMs,
    first_token_steps: waitedMs / plainMs,
    longest_gap_ms: longest,
    longest_gap_steps: longest / plainMs,
  };
}

await together(1); // warms up
const one = await together(1);
const many = await together(Number(texts));
const wait = await question();
await model.dispose();
const gain = many.tokens_per_second / one.tokens_per_second;
process.stdout.write(
  `${JSON.stringify({ model: name, one, many, gain, question: wait }, null, 2)}\n`,
);
