/**
 * Draft models under the conformance suite of all drafters: those that come with the default model,
 * and small random ones whose windows the texts of the suite leave behind.
 */
import assert from 'node:assert/strict';
import { after, describe, it, test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { assistantSource } from '../../src/decode/assistant.js';
import { Chooser } from '../../src/decode/chooser.js';
import { dflashSource } from '../../src/decode/dflash.js';
import type { Drafter } from '../../src/decode/drafter.js';
import { mtpSource } from '../../src/decode/mtp.js';
import { resolveSampling } from '../../src/decode/settings.js';
import { type GgufFile, readGgufFrom } from '../../src/gguf/reader.js';
import { memorySource } from '../../src/gguf/source.js';
import { encodeGguf, type GgufContent, writeGguf } from '../../src/gguf/writer.js';
import { loadModel } from '../../src/index.js';
import { loadDflashModel } from '../../src/models/dflash.js';
import { loadAssistantModel } from '../../src/models/gemma4-assistant.js';
import { loadMtpModel } from '../../src/models/mtp.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { randomAssistant, randomDflash, randomMtp } from '../support/random-drafters.js';
import { temporaryFile } from '../support/tiny-model.js';
import { drafterConformance } from './drafter-conformance.js';
import { fakeFeatures } from './fake-target.js';
import { Random } from './support.js';

const model = await loadModel('default', { threads: 1, contextLength: 256 });
const { embeddingLength, vocabSize } = model.runtime.model.hyperparameters;

for (const name of ['mtp', 'dflash']) {
  const source = model.runtime.drafterSources.find((candidate) => candidate.name === name);
  assert.ok(source, `the default model comes with ${name}`);
  drafterConformance(name, {
    source,
    vocabularySize: vocabSize,
    rounds: 3,
    ...(source.needs.hidden ? { hiddenWidth: embeddingLength } : {}),
    ...(source.needs.taps ? { tapsWidth: embeddingLength * source.needs.taps.length } : {}),
  });
}

const shape = {
  ...{ layers: 2, embedding: 64, heads: 4, kvHeads: 2, headDim: 32, inner: 96, vocab: 331 },
} as const;
const window = 12;
const path = temporaryFile('target.gguf');
await writeGguf(path, randomModel({ ...shape, architecture: 'llama' }));
const small = await loadModel(path, { threads: 1, contextLength: 256 });
const load = { backend: small.runtime.backend };
const mtp = await loadMtpModel(
  await openGguf(randomMtp({ ...shape, ownHead: true, ownTable: true })),
  ...([small.runtime.model, load] as const),
);
const dflash = await loadDflashModel(
  await openGguf(
    randomDflash({
      ...{ ...shape, blockSize: 5, maskToken: 9, targetLayers: [2, 1] },
      sliding: [5, [true, false]],
    }),
  ),
  ...([small.runtime.model, load] as const),
);
const common = { ...load, contextLength: 256, window };
const rounds = { vocabularySize: shape.vocab, rounds: 8 };
drafterConformance('small mtp', {
  ...{ ...rounds, source: mtpSource({ ...common, model: mtp }), hiddenWidth: 64 },
});
drafterConformance('small dflash', {
  ...{ ...rounds, source: dflashSource({ ...common, model: dflash }), tapsWidth: 128 },
});
// As on a card: the target's rows are tensors, and the largest logits are taken.
const onDevice = { ...common, resident: true, selects: () => true };
drafterConformance('small mtp on a device', {
  ...{ ...rounds, source: mtpSource({ ...onDevice, model: mtp }), hiddenWidth: 64 },
});
drafterConformance('small dflash on a device', {
  ...{ ...rounds, source: dflashSource({ ...onDevice, model: dflash }), tapsWidth: 128 },
});

test('rows on a device give the guesses of rows on the host, and stay there', async () => {
  const { traffic } = load.backend;
  for (const [host, device, width] of [
    [mtpSource({ ...common, model: mtp }), mtpSource({ ...onDevice, model: mtp }), 64],
    [dflashSource({ ...common, model: dflash }), dflashSource({ ...onDevice, model: dflash }), 128],
  ] as const) {
    const random = new Random(3);
    const settings = resolveSampling({ temperature: 0.7, topK: 8, seed: 4 });
    const [one, other] = [host.open(), device.open()];
    const tokens: number[] = [];
    let guesses = 0;
    const bytes = { host: 0, device: 0 };
    // Longer than the window, so that rows are overwritten.
    for (let round = 0; round < 12; round++) {
      const from = tokens.length;
      for (let more = 1 + random.below(5); more > 0; more--) tokens.push(random.below(shape.vocab));
      const rows = fakeFeatures(tokens, from, width);
      const seen = { position: from, tokens: tokens.slice(from) };
      const answers = [];
      for (const [name, drafter] of [
        ['host', one],
        ['device', other],
      ] as const) {
        drafter.observe({ ...seen, ...(drafter.needs.hidden ? { hidden: rows } : { taps: rows }) });
        const chooser = new Chooser({ settings, tokens: [...tokens, 7] });
        const { up, down } = traffic;
        answers.push(await drafter.propose({ chooser, limit: 4 }));
        bytes[name] += traffic.up - up + traffic.down - down;
      }
      const [expected, found] = answers;
      assert.deepEqual(found?.tokens, expected?.tokens, `round ${round}`);
      guesses += found?.tokens.length ?? 0;
      for (const [at, sure] of (expected?.confidence ?? []).entries()) {
        assert.ok(Math.abs(sure - (found?.confidence?.[at] ?? 0)) < 1e-4);
      }
      assert.deepEqual(other.snapshot(), one.snapshot());
      if (round === 7) {
        tokens.length -= 2;
        assert.ok(one.truncate(tokens.length) && other.truncate(tokens.length));
      }
    }
    assert.ok(guesses > 12, `${guesses}`);
    assert.ok(bytes.device < bytes.host / 3, `${bytes.device} of ${bytes.host} bytes`);
    one.dispose();
    other.dispose();
  }
});

// Drafters that link their guesses, the second with DeepSeek V4's layers.
const form = {
  ...{ queryRank: 20, rotated: 8, window: 9, ratios: [0], outputGroups: 2, outputRank: 10 },
  ...{ index: { heads: 3, keyLength: 16, most: 5 }, hashed: 0, limit: 0.7 },
};
const streams = { blocksOf: 'deepseek4', experts: [4, 2], deepseek4: form } as const;
const block = { blockSize: 5, maskToken: 9, targetLayers: [2, 1] } as const;
for (const [name, more] of [
  ['small dspark', { markov: { rank: 8, confidence: true } }],
  ['dspark of deepseek4', { ...streams, markov: { rank: 8 } }],
  ['small dflash2', { selector: { rank: 8, most: 6, taps: 2, group: 16 } }],
] as const) {
  const content = randomDflash({ ...shape, ...block, ...more });
  const linked = await loadDflashModel(await openGguf(content), small.runtime.model, load);
  const source = dflashSource({ ...common, model: linked });
  drafterConformance(name, { ...rounds, source, tapsWidth: 128 });
}

// Gemma 4's drafter attends over rows of a target that has read some text.
const gemma4 = {
  ...{ ...shape, window: [9, 2], gemma4: { windowHeadDim: 16, perLayer: 0 } },
} as const satisfies Partial<RandomModelOptions>;
const gemma4Path = temporaryFile('gemma4.gguf');
await writeGguf(gemma4Path, randomModel({ ...gemma4, architecture: 'gemma4' }));
const lender = await loadModel(gemma4Path, { threads: 1, contextLength: 256 });
const lent = lender.runtime.createText();
const symbol = (_: unknown, at: number) => (at * 37 + 5) % shape.vocab;
await lender.runtime.prefill(lent, Array.from({ length: 250 }, symbol));
const assistant = await loadAssistantModel(
  await openGguf(randomAssistant({ ...gemma4, embedding: 48, width: shape.embedding })),
  ...([lender.runtime.model, { backend: lender.runtime.backend }] as const),
);
drafterConformance('gemma4-assistant', {
  ...{ ...rounds, state: lent.state, hiddenWidth: shape.embedding },
  source: assistantSource({ model: assistant, backend: lender.runtime.backend }),
});

test('gemma4-assistant guesses, keeps one row, and without the target’s rows says nothing', () => {
  const source = assistantSource({ model: assistant, backend: lender.runtime.backend });
  const drafter = source.open();
  assert.equal(drafter.bytes, 4 * shape.embedding);
  const tokens = [5, 6, 7, 8];
  const hidden = fakeFeatures(tokens.slice(0, 3), 0, shape.embedding);
  drafter.observe({ position: 0, tokens: tokens.slice(0, 3), hidden });
  const settings = resolveSampling({ temperature: 0, seed: 1 });
  const ask = (state?: typeof lent.state) =>
    drafter.propose({ chooser: new Chooser({ settings, tokens }), limit: 4, state });
  return Promise.all([ask(lent.state), ask()]).then(([some, none]) => {
    assert.ok(some.tokens.length > 0);
    assert.deepEqual(none.tokens, []);
    drafter.dispose();
  });
});

test('small mtp: an abort between two guesses leaves no trace', async () => {
  const random = new Random(12);
  const settings = resolveSampling({ temperature: 0, seed: 1 });
  const options = { ...common, model: mtp };
  const [source, sound] = [mtpSource(options), mtpSource(options)];
  let tried = 0;
  for (let round = 0; round < 20; round++) {
    const tokens = Array.from({ length: 22 }, () => random.below(shape.vocab));
    const show = (drafter: Drafter, from: number, to: number) => {
      const run = tokens.slice(0, to);
      const hidden = fakeFeatures(run, from, shape.embedding);
      drafter.observe({ position: from, tokens: run.slice(from), hidden });
    };
    const [cut, fresh] = [source.open(), sound.open()];
    show(cut, 0, 15);
    const stop = new AbortController();
    // Aborted when the third guess is about to be made from the rows of two.
    const chooser = new Chooser({ settings, tokens: tokens.slice(0, 16) });
    const fork = chooser.fork.bind(chooser);
    chooser.fork = () => {
      const ahead = fork();
      const guess = ahead.guess.bind(ahead);
      let guesses = 0;
      ahead.guess = (logits) => {
        if (++guesses === 3) stop.abort();
        return guess(logits);
      };
      return ahead;
    };
    const asked = { chooser, limit: 8, signal: stop.signal };
    const answer = await Promise.resolve(cut.propose(asked)).catch((error: unknown) => error);
    if (PacelineError.is(answer) && answer.code === 'aborted') tried++;
    show(cut, 15, 21);
    show(fresh, 0, 21);
    const ask = { chooser: new Chooser({ settings, tokens }), limit: 8 };
    assert.deepEqual(await cut.propose(ask), await fresh.propose(ask));
    cut.dispose();
    fresh.dispose();
  }
  assert.ok(tried >= 5, `${tried} aborts`);
});

async function openGguf(content: GgufContent): Promise<GgufFile> {
  const bytes = await encodeGguf(content);
  return readGgufFrom('random.gguf', async () => memorySource(bytes, 'random.gguf'));
}

describe('drafting with the default model', () => {
  const prompts = ["import { readFile } from 'node:", '# Installation\n\n```sh\nnpm '];
  const settings = { maxTokens: 48, seed: 5 } as const;

  for (const temperature of [0, 0.8]) {
    for (const draft of ['mtp', 'dflash', 'auto'] as const) {
      it(`gives the undrafted text with ${draft} at temperature ${temperature}`, async () => {
        for (const prompt of prompts) {
          const options = { ...settings, temperature };
          const plain = await model.generate(prompt, { ...options, draft: 'none' });
          const drafted = await model.generate(prompt, { ...options, draft });
          assert.deepEqual(drafted.tokens, plain.tokens);
        }
      });
    }
  }

  for (const draft of ['mtp', 'dflash'] as const) {
    it(`${draft} guesses right often enough to take fewer passes, on every request`, async () => {
      for (let request = 0; request < 2; request++) {
        const counts = { drafted: 0, accepted: 0 };
        for (const prompt of prompts) {
          const session = model.createSession();
          const { draft: used } = await session.generate(prompt, {
            ...settings,
            temperature: 0,
            draft,
            draftMax: 3,
          });
          session.dispose();
          counts.drafted += used.drafted;
          counts.accepted += used.accepted;
        }
        const rate = counts.accepted / counts.drafted;
        assert.ok(rate > 0.15, `accepted ${counts.accepted} of ${counts.drafted}`);
      }
    });

    it(`${draft} goes on after forking and truncating`, async () => {
      const session = model.createSession();
      const options = { ...settings, temperature: 0, draft };
      const first = await session.generate(prompts[0] ?? '', options);
      const fork = session.fork();
      session.truncate(3);
      const again = await session.generate(prompts[0] ?? '', options);
      const other = await fork.generate(prompts[0] ?? '', options);
      assert.deepEqual(again.tokens, first.tokens);
      assert.deepEqual(other.tokens, first.tokens);
      session.dispose();
      fork.dispose();
    });
  }
});

after(async () => {
  mtp.dispose();
  dflash.dispose();
  assistant.dispose();
  lender.runtime.release(lent);
  await lender.dispose();
  await small.dispose();
  await model.dispose();
});
