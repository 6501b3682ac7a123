/**
 * How often texts of a model loop, for a list of sampling settings: the measurement behind the
 * recommended sampling in the embedded model's file. Prompts are cut from `bench/texts`, which the
 * model was not trained on.
 *
 *   node --import tsx bench/loops.ts [model] [--prompts 50] [--seeds 2] [--tokens 160]
 *
 * A text loops when eight tokens in a row come three times within its last 96, or when its end
 * repeats with a period of at most 16 for 48 tokens. `nats` is the mean surprise of the chosen tokens
 * to the model itself: settings that avoid loops at the price of nonsense show there.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type GenerateOptions, loadModel } from '../src/index.js';
import { loops } from './repetition.js';

const folder = join(dirname(fileURLToPath(import.meta.url)), 'texts');

/** What a file recommends must not slip in under the settings. */
const usual: GenerateOptions = {
  ...{ temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05 },
  ...{ repetitionPenalty: 1, penaltyWindow: 64, logprobs: 1, draft: 'none' },
};
const unfiltered = { topK: 0, topP: 1, minP: 0 } as const;
const settings: readonly GenerateOptions[] = [
  { temperature: 0 },
  { temperature: 0.8 },
  { temperature: 1 },
  { temperature: 1, ...unfiltered },
  { temperature: 1, ...unfiltered, topP: 0.95 },
  { temperature: 0.8, repetitionPenalty: 1.1 },
  { temperature: 1, repetitionPenalty: 1.1 },
  { temperature: 0.8, repetitionPenalty: 1.2 },
  { temperature: 0.8, repetitionPenalty: 1.2, penaltyWindow: 32 },
  { temperature: 0.8, repetitionPenalty: 1.2, penaltyWindow: 96 },
  { temperature: 0.8, repetitionPenalty: 1.3 },
  { temperature: 1, repetitionPenalty: 1.2 },
];

function allTexts(): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => readFileSync(join(folder, name), 'utf8'));
}

/** Pieces of about 400 characters that begin with a line, evenly over all texts. */
function prompts(count: number): string[] {
  const texts = allTexts();
  return Array.from({ length: count }, (_, index) => {
    const text = texts[index % texts.length] as string;
    const part = Math.floor(index / texts.length) / Math.ceil(count / texts.length);
    const start = text.lastIndexOf('\n', part * (text.length - 400)) + 1;
    return text.slice(start, start + 400);
  });
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    prompts: { type: 'string', default: '50' },
    seeds: { type: 'string', default: '2' },
    tokens: { type: 'string', default: '160' },
  },
});
const model = await loadModel(positionals[0] ?? 'default', { contextLength: 1024 });
const texts = prompts(Number(values.prompts));
const seeds = Number(values.seeds);
let copied = 0;
let windows = 0;
for (const text of allTexts()) {
  const ids = model.tokenizer.encode(text, { addSpecial: false });
  for (let start = 0; start + 160 <= ids.length; start += 80) {
    windows++;
    if (loops(ids.slice(start, start + 160))) copied++;
  }
}
console.log(`${((copied / windows) * 100).toFixed(0).padStart(3)}% of the texts themselves`);

for (const setting of settings) {
  let looping = 0;
  let nats = 0;
  let tokens = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    for (let first = 0; first < texts.length; first += 8) {
      const generations = await Promise.all(
        texts.slice(first, first + 8).map(async (text) => {
          using session = model.createSession();
          const maxTokens = Number(values.tokens);
          return await session.generate(text, { ...usual, maxTokens, seed, ...setting });
        }),
      );
      for (const generation of generations) {
        if (loops(generation.tokens)) looping++;
        for (const { logprob } of generation.logprobs ?? []) nats -= logprob;
        tokens += generation.tokens.length;
      }
    }
  }
  const share = (looping / (texts.length * seeds)) * 100;
  console.log(
    `${share.toFixed(0).padStart(3)}% loop, ${(nats / tokens).toFixed(2)} nats: ${JSON.stringify(setting)}`,
  );
}
await model.dispose();
