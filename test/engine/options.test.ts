/** Every misuse from JavaScript is told by the name of the option. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { z } from 'zod';
import { PacelineError } from '../../src/base/errors.js';
import { defaultModelPath } from '../../src/base/paths.js';
import type { chatSchema, generateSchema, loadSchema } from '../../src/engine/options.js';
import type { ChatOptions, GenerateOptions, LoadOptions } from '../../src/engine/types.js';
import { ggufValue } from '../../src/gguf/values.js';
import { loadModel, type Model } from '../../src/index.js';
import { changedModel } from '../support/tiny-model.js';

/** Schemas and types have the same options, which the compiler checks. */
type Keys<T extends z.ZodObject> = keyof T['shape'];
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
const same: [
  Same<Keys<typeof loadSchema>, keyof LoadOptions>,
  Same<Keys<typeof generateSchema>, keyof GenerateOptions>,
  Same<Keys<typeof chatSchema>, keyof ChatOptions>,
] = [true, true, true];

/** What a caller without types may pass. */
const loosely = <T>(value: unknown): T => value as T;

function tells(field: string, ...patterns: readonly RegExp[]) {
  return (error: unknown): boolean => {
    assert.ok(PacelineError.is(error), String(error));
    assert.equal(error.code, 'usage');
    assert.equal(error.details.field, field);
    assert.ok((error.hint ?? '').length > 10);
    for (const pattern of patterns) assert.match(`${error.message} ${error.hint}`, pattern);
    assert.doesNotMatch(`${error.message} ${error.hint}`, / --[a-z]/, 'speaks of no flag');
    return true;
  };
}

describe('options of loadModel', () => {
  it('are as the types say', () => assert.deepEqual(same, [true, true, true]));

  for (const [field, value] of [
    ['threads', 0],
    ['threads', '2'],
    ['contextLength', 1.5],
    ['contextLength', 1e12],
    ['contextLength', Number.NaN],
    ['kvType', 'x'],
    ['draftModels', 'x.gguf'],
    ['draftModels', [1]],
    ['draftWindow', -1],
    ['prefillChunk', 10n],
    ['maxRunning', null],
    ['onProgress', 'yes'],
    ['signal', {}],
  ] as const) {
    it(`${field}: ${String(value)}`, async () => {
      await assert.rejects(
        loadModel('default', loosely({ [field]: value })),
        tells(field, new RegExp(field)),
      );
    });
  }

  it('that are unknown are named, with the one that was meant', async () => {
    await assert.rejects(
      loadModel('default', loosely({ contextLenght: 5 })),
      tells('contextLenght', /contextLenght.*contextLength/),
    );
    await assert.rejects(loadModel('default', loosely({ gpu: 1 })), tells('gpu', /threads/));
  });

  it('of the cache are checked, too', async () => {
    const cache = { budget: '5GB' };
    await assert.rejects(
      loadModel('default', loosely({ cache })),
      tells('budget', /number of bytes/),
    );
    await assert.rejects(
      loadModel('default', loosely({ cache: { foldr: '/tmp' } })),
      tells('foldr', /folder/),
    );
  });

  it('must be an object, and the model a name', async () => {
    const usage = { code: 'usage' };
    for (const options of [null, 'x', 5, []]) {
      await assert.rejects(loadModel('default', loosely(options)), usage);
    }
    for (const name of [undefined, null, 5, '', {}]) {
      await assert.rejects(loadModel(loosely(name)), usage);
    }
  });
});

describe('options of a generation', () => {
  let model: Model;
  before(async () => {
    model = await loadModel('default', { threads: 1, contextLength: 64 });
  });
  after(() => model.dispose());

  for (const [field, value] of [
    ['temperature', -1],
    ['temperature', '1'],
    ['temperature', Number.NaN],
    ['topK', 1.5],
    ['topP', 2],
    ['minP', null],
    ['repetitionPenalty', 0],
    ['seed', 1n],
    ['logitBias', 5],
    ['logitBias', { a: 1 }],
    ['logitBias', { 1: 'x' }],
    ['logprobs', 1000],
    ['maxTokens', -1],
    ['maxTokens', 1.5],
    ['stop', [1]],
    ['draft', 'magic'],
    ['draftMax', Number.NaN],
    ['draftMax', 0],
    ['priority', 'high'],
    ['onProgress', 1],
    ['signal', 'abort'],
    ['temprature', 1],
  ] as const) {
    it(`${field}: ${String(value)}`, async () => {
      await assert.rejects(model.generate('a', loosely({ [field]: value })), tells(field));
    });
  }

  it('and what is no prompt', async () => {
    for (const prompt of [undefined, null, 5, {}, [1, 'x'], [1n], [-1], [1.5], [1e9]]) {
      await assert.rejects(model.generate(loosely(prompt), { maxTokens: 1 }), { code: 'usage' });
    }
  });

  it('and what is no conversation', async () => {
    const cyclic: Record<string, unknown> = { role: 'user', content: 'x' };
    cyclic.self = cyclic;
    for (const [messages, field] of [
      [[], 'messages'],
      [undefined, 'messages'],
      ['Hi', 'messages'],
      [[null], 'messages.0'],
      [[{ role: 'boss', content: 'x' }], 'messages.0.role'],
      [[{ content: 'x' }], 'messages.0.role'],
      [[{ role: 'user' }], 'messages.0.content'],
      [[{ role: 'user', content: 5 }], 'messages.0.content'],
      [[{ role: 'user', content: 'x', name: () => {} }], 'messages.0.name'],
      [[cyclic], 'messages.0.self'],
    ] as const) {
      await assert.rejects(model.chat(loosely(messages), { maxTokens: 1 }), tells(field));
    }
    const options = { tools: 'x', maxTokens: 1 };
    const message = { role: 'user', content: 'x' } as const;
    await assert.rejects(model.chat([message], loosely(options)), tells('tools'));
    // BigInt is a whole number like any other to a template.
    const big = await model.chat([{ ...message, id: 10n }], { maxTokens: 1 });
    assert.equal(big.tokens.length <= 1, true);
  });

  it('leave the model usable', async () => {
    assert.equal((await model.generate('a', { maxTokens: 2, temperature: 0 })).seed > 0, true);
  });
});

describe('a result', () => {
  it('says what ended the text, and spells its tokens', async () => {
    await using model = await loadModel('default', { threads: 1, contextLength: 128 });
    const greedy = { temperature: 0, maxTokens: 12, logprobs: 2 } as const;
    const whole = await model.generate('export function ', greedy);
    assert.equal(whole.stop, undefined);
    for (const { token, text, bytes, top } of whole.logprobs ?? []) {
      assert.equal(text, model.tokenizer.decode([token]));
      assert.equal(new TextDecoder().decode(bytes), text);
      assert.equal(top[0]?.text, text);
    }
    const stopped = await model.generate('export function ', { ...greedy, stop: ['zzz', '('] });
    assert.deepEqual([stopped.finishReason, stopped.stop], ['stop', '(']);
    const [end = 0] = model.tokenizer.vocabulary.endOfGeneration;
    const ended = await model.generate('export function ', {
      ...greedy,
      logitBias: { [end]: 1e5 },
    });
    assert.deepEqual([ended.finishReason, ended.stop, ended.tokens], ['stop', end, []]);
  });
});

describe('what a model’s file recommends', () => {
  it('is used where the caller says nothing, and less of it where the caller does', async () => {
    const path = await changedModel(defaultModelPath(), 'recommends-a-penalty.gguf', {
      metadata: {
        'general.sampling.penalty_repeat': ggufValue.float32(1.3),
        'general.sampling.penalty_last_n': ggufValue.int32(64),
      },
    });
    await using model = await loadModel(path, { threads: 1, contextLength: 128 });
    const { recommendedSampling } = model.info;
    const { repetitionPenalty = 1, penaltyWindow = 0 } = recommendedSampling;
    assert.deepEqual([repetitionPenalty, penaltyWindow], [1.3, 64]);
    const usual = { maxTokens: 40, seed: 7 } as const;
    const run = async (options: GenerateOptions) =>
      (await model.generate('export function ', { ...usual, ...options })).tokens;
    const plain = await run({});
    const spelt = { temperature: 0.8, repetitionPenalty, penaltyWindow };
    assert.deepEqual(plain, await run({ ...recommendedSampling, ...spelt }));
    // A temperature of one's own leaves penalties out: 0 is the model's own likeliest text.
    const greedy = await run({ temperature: 0 });
    assert.deepEqual(greedy, await run({ temperature: 0, repetitionPenalty: 1 }));
    assert.notDeepEqual(greedy, await run({ temperature: 0, repetitionPenalty }));
    assert.deepEqual(model.info.warnings, []);
  });
});

describe('constraints', () => {
  let model: Model;
  before(async () => {
    model = await loadModel('default', { threads: 1, contextLength: 512 });
  });
  after(() => model.dispose());
  const schema = {
    type: 'object',
    properties: {
      name: { type: 'string', maxLength: 8 },
      tags: { type: 'array', items: { enum: ['a', 'b'] }, maxItems: 3 },
      count: { type: 'integer', minimum: 0, maximum: 99 },
    },
    required: ['name', 'tags', 'count'],
    additionalProperties: false,
  };

  it('hold with every drafter, which changes no token of the text', async () => {
    for (const constraint of [
      { type: 'json-schema', schema },
      { type: 'regex', pattern: '(yes|no), [0-9]{2,4}' },
      { type: 'choice', choices: ['red', 'green', 'blue'] },
    ] as const satisfies readonly GenerateOptions['constraint'][]) {
      for (const settings of [{ temperature: 0 }, { temperature: 1.3, seed: 5 }]) {
        const options = { ...settings, maxTokens: 120, constraint };
        const plain = await model.generate('The answer: ', { ...options, draft: 'none' });
        assert.equal(plain.finishReason, 'stop');
        if (constraint.type === 'json-schema') {
          const value = JSON.parse(plain.text) as Record<string, unknown>;
          assert.deepEqual(Object.keys(value).sort(), ['count', 'name', 'tags']);
        }
        for (const draft of ['auto', 'ngram', 'mtp', 'dflash'] as const) {
          const drafted = await model.generate('The answer: ', { ...options, draft });
          assert.deepEqual(drafted.tokens, plain.tokens, `${constraint.type}, ${draft}`);
          assert.ok(drafted.draft.steps <= plain.draft.steps);
        }
      }
    }
  });

  it('that cannot be enforced are refused by name, or relaxed with a warning', async () => {
    const constraint = {
      type: 'json-schema',
      schema: { type: 'array', uniqueItems: true },
    } as const;
    const error = await model.generate('x', { constraint }).then(
      () => assert.fail('it was not refused'),
      (reason: unknown) => reason,
    );
    assert.ok(PacelineError.is(error) && error.code === 'usage');
    assert.equal(error.details.pointer, '/uniqueItems');
    const relaxed = { ...constraint, strict: false };
    const { warnings } = await model.generate('x', { constraint: relaxed, maxTokens: 2 });
    assert.match(String(warnings), /uniqueItems/);
    const odd = { type: 'magic' };
    await assert.rejects(model.generate('x', loosely({ constraint: odd })), tells('constraint'));
    const alone = { reasoning: { end: '</think>' } };
    await assert.rejects(model.generate('x', alone), tells('reasoning'));
  });
});
