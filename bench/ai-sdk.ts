/**
 * What `paceline/ai-sdk` adds to the engine: the same texts by `streamText` and by the model's own
 * `streamChat`, in turns, on one loaded model; and the same vectors by `embedMany` and `embed`. Prints JSON.
 * Usage: tsx bench/ai-sdk.ts [model] [--runs 9] [--gen 256]
 */
import { parseArgs } from 'node:util';
import { embedMany, streamText } from 'ai';
import { createPaceline } from '../src/ai-sdk/index.js';
import { median } from '../src/bench/statistics.js';
import { loadModel } from '../src/engine/load.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string', default: '9' }, gen: { type: 'string', default: '256' } },
});
const [name = 'default'] = positionals;
const runs = Number(values.runs);
const maxTokens = Number(values.gen);

const content = 'Write a class that keeps the last n values of a stream.';
const texts = Array.from({ length: 32 }, (_, index) => `const value${index} = ${index} * 2;`);
// Without drafts a token takes as long each time, and what is added is not hidden in guesses.
const settings = { temperature: 0, draft: 'none' } as const;

const model = await loadModel(name);
const provider = createPaceline({ models: { model } });
const language = provider('model');
const vectors = provider.embeddingModel('model');

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** The time of a text by each way; both have its prompt in their cache. */
const session = model.createSession();
async function byEngine(): Promise<string> {
  let text = '';
  for await (const event of session.streamChat([{ role: 'user', content }], {
    ...settings,
    maxTokens,
  })) {
    if (event.type === 'text') text += event.text;
  }
  return text;
}

async function bySdk(): Promise<string> {
  let text = '';
  const stream = streamText({
    model: language,
    prompt: content,
    temperature: settings.temperature,
    maxOutputTokens: maxTokens,
    providerOptions: { paceline: { draft: settings.draft } },
    onError: ({ error }) => {
      throw error;
    },
  });
  for await (const piece of stream.textStream) text += piece;
  return text;
}

const ways = {
  engine: byEngine,
  sdk: bySdk,
  engineVectors: () => model.embed(texts),
  sdkVectors: () => embedMany({ model: vectors, values: texts }),
};
const times: Record<keyof typeof ways, number[]> = {
  engine: [],
  sdk: [],
  engineVectors: [],
  sdkVectors: [],
};
const same = (await byEngine()) === (await bySdk());
await ways.engineVectors();
await ways.sdkVectors();
for (let run = 0; run < runs; run++) {
  const names = Object.keys(ways) as (keyof typeof ways)[];
  // Who comes first changes, so that neither always has the warmer machine.
  for (const way of run % 2 === 0 ? names : names.reverse()) {
    times[way].push(await milliseconds(ways[way]));
  }
}
const share = (whole: readonly number[], base: readonly number[]): number =>
  median(whole.map((value, index) => value / (base[index] ?? Number.NaN))) - 1;

await provider.dispose();
await model.dispose();
process.stdout.write(
  `${JSON.stringify(
    {
      model: name,
      runs,
      tokens: maxTokens,
      sameText: same,
      medianMs: Object.fromEntries(Object.entries(times).map(([way, list]) => [way, median(list)])),
      overhead: {
        text: share(times.sdk, times.engine),
        vectors: share(times.sdkVectors, times.engineVectors),
      },
      times,
    },
    null,
    2,
  )}\n`,
);
