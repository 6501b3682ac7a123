/**
 * Real models against libllama: tokens of texts, and greedy answers. Run by `npm run
 * test:real-models`, which fetches the models; one that is not there is left out, as it has said.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadModel } from '../../src/engine/load.js';
import { readGguf } from '../../src/gguf/reader.js';
import { createTokenizer } from '../../src/tokenizer/tokenizer.js';
import { wellFormed } from '../../src/tokenizer/unicode.js';
import { Oracle } from '../oracle/libllama.js';
import { argmax } from '../oracle/runner.js';
import { OracleVocabulary } from '../tokenizer/libllama-vocabulary.js';
import { randomNumbers, randomText } from '../tokenizer/random-text.js';

const folder = process.env.PACELINE_REAL_MODELS ?? '';
const models = [
  {
    name: 'smollm2-135m-instruct-q4_1.gguf',
    prompt: (text: string) => `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`,
  },
  { name: 'gemma-3-270m-q4_k_m.gguf', prompt: (text: string) => `Question: ${text}\nAnswer:` },
]
  .map((model) => ({ ...model, path: join(folder, model.name) }))
  .filter(({ path }) => existsSync(path));

const instructions = [
  'Name three rivers in Europe.',
  'Write a haiku about the sea.',
  'What is the capital of Japan?',
  'Explain in one sentence what a compiler does.',
  'List the days of the week.',
];

/**
 * Logits that are closer than this may change places: both sides round activations to 8 bits, in
 * blocks of their own.
 */
const nearTie = 0.35;

for (const { name, path, prompt: promptOf } of models) {
  test(`${name}: texts become libllama’s tokens, and come back`, async () => {
    await using file = await readGguf(path);
    const tokenizer = createTokenizer(file);
    using oracle = new OracleVocabulary(path);
    const random = randomNumbers(7);
    const texts = [
      ...instructions,
      ...Array.from({ length: 200 }, () => randomText(random, 30, [])),
    ];
    for (const text of texts) {
      const tokens = tokenizer.encode(text);
      assert.deepEqual(tokens, oracle.encode(wellFormed(text), true, false));
    }
  });

  test(`${name}: greedy answers are libllama’s up to the first near-tie`, async (t) => {
    await using model = await loadModel(path, { contextLength: 512 });
    let agreed = 0;
    for (const instruction of instructions) {
      const prompt = model.tokenizer.encode(promptOf(instruction), { parseSpecial: true });
      const answer = await model.generate(prompt, { maxTokens: 48, temperature: 0 });
      assert.ok(answer.tokens.length > 0);
      using oracle = new Oracle(path, { contextLength: 512 });
      const rows = oracle.decode([...prompt, ...answer.tokens]);
      for (const [at, token] of answer.tokens.entries()) {
        const logits = rows[prompt.length - 1 + at] as Float32Array;
        const best = argmax(logits);
        if (best === token) {
          agreed++;
          continue;
        }
        const gap = (logits[best] as number) - (logits[token] as number);
        t.diagnostic(
          `"${instruction}" parts at token ${at}, where logits are ${gap.toFixed(3)} apart`,
        );
        assert.ok(gap < nearTie, `"${instruction}": token ${at} is ${gap} below libllama’s best`);
        break;
      }
    }
    t.diagnostic(`${agreed} tokens agree`);
  });
}
