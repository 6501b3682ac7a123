/** The AI SDK 7 against the engine in this process: the cases that its clients have over HTTP. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  createProviderRegistry,
  embed,
  embedMany,
  generateObject,
  generateText,
  isStepCount,
  type LanguageModel,
  Output,
  streamObject,
  streamText,
  type ToolSet,
  tool,
} from 'ai';
import { z } from 'zod';
import {
  createPaceline,
  type PacelineMetadata,
  type PacelineProvider,
} from '../../src/ai-sdk/index.js';
import { PacelineError } from '../../src/base/errors.js';
import { loadModel } from '../../src/engine/load.js';
import type { Model } from '../../src/engine/model.js';
import { thinkingModel } from '../server/support.js';

const prompt = 'Write a loop in TypeScript.';
const input = z.object({ path: z.enum(['a', 'b']), count: z.int().min(0).max(99) });
const read = tool({ inputSchema: input, execute: ({ path }) => `content of ${path}` });
const tools = { read } as unknown as ToolSet;

const metadataOf = (metadata: unknown): PacelineMetadata =>
  (metadata as { paceline: PacelineMetadata }).paceline;

describe('the provider of the AI SDK', () => {
  let paceline: PacelineProvider;
  let thinking: LanguageModel;
  let embedded: LanguageModel;
  before(async () => {
    const load = { threads: 1, contextLength: 2048 };
    paceline = createPaceline({ load, models: { thinking: await thinkingModel() }, slots: 2 });
    thinking = paceline('thinking');
    embedded = paceline.languageModel('default');
  });
  after(() => paceline.dispose());

  it('text, stream, usage and reason agree', async () => {
    const settings = { model: embedded, prompt, temperature: 0, maxOutputTokens: 10 };
    const whole = await generateText(settings);
    assert.ok(whole.text.length > 0);
    assert.equal(whole.finishReason, 'length');
    assert.equal(whole.usage.outputTokens, 10);
    assert.equal(whole.response.modelId, 'default');
    const errors: unknown[] = [];
    const stream = streamText({ ...settings, onError: ({ error }) => void errors.push(error) });
    let text = '';
    for await (const piece of stream.textStream) text += piece;
    assert.deepEqual(errors, []);
    assert.equal(text, whole.text);
    assert.equal(await stream.finishReason, 'length');
    assert.equal((await stream.usage).outputTokens, 10);
    assert.equal((await stream.usage).inputTokens, whole.usage.inputTokens);
  });

  it('a seed gives the same text again, with other drafters too, and is told', async () => {
    const settings = { model: embedded, prompt, temperature: 1, maxOutputTokens: 24 };
    const first = await generateText(settings);
    const { seed } = metadataOf(first.providerMetadata);
    for (const draft of ['none', 'ngram'] as const) {
      const again = await generateText({
        ...settings,
        seed,
        providerOptions: { paceline: { draft } },
      });
      assert.equal(again.text, first.text);
    }
  });

  it('tells cached, drafted and accepted tokens', async () => {
    const line = 'const a = 1; ';
    const format = { type: 'regex', pattern: `(${line}){8}` };
    const settings = {
      model: embedded,
      prompt: line.repeat(12),
      temperature: 0,
      maxOutputTokens: 32,
      providerOptions: { paceline: { draft: 'ngram', format } },
    };
    const first = await generateText(settings);
    const told = metadataOf(first.providerMetadata);
    assert.equal(told.drafter, 'ngram');
    assert.ok(told.draftedTokens > 0 && told.acceptedTokens <= told.draftedTokens);
    assert.ok(told.steps + told.acceptedTokens >= 31, JSON.stringify(told));
    const next = await generateText(settings);
    const { cachedTokens } = metadataOf(next.providerMetadata);
    assert.equal(cachedTokens, (first.usage.inputTokens ?? 0) - 1);
    assert.equal(next.usage.inputTokenDetails.cacheReadTokens, cachedTokens);
    assert.equal(next.usage.inputTokenDetails.noCacheTokens, 1);
  });

  it('stop sequences end the text and are told', async () => {
    const settings = { model: embedded, prompt, temperature: 0, maxOutputTokens: 24 };
    const { text } = await generateText(settings);
    const stop = text.trim().slice(3, 6);
    const cut = await generateText({ ...settings, stopSequences: [stop] });
    assert.equal(cut.finishReason, 'stop');
    assert.equal(cut.text, text.slice(0, text.indexOf(stop)));
    assert.equal(metadataOf(cut.providerMetadata).stopText, stop);
  });

  it('thought comes as reasoning, before the answer and within its budget', async () => {
    const settings = {
      model: thinking,
      prompt,
      maxOutputTokens: 60,
      seed: 2,
      providerOptions: { paceline: { reasoningBudget: 5 } },
    };
    const whole = await generateText(settings);
    assert.ok((whole.reasoningText ?? '').length > 0);
    assert.ok(whole.text.length > 0);
    assert.ok((whole.usage.outputTokenDetails.reasoningTokens ?? 0) >= 5);
    const types: string[] = [];
    for await (const part of streamText(settings).fullStream) {
      if (types.at(-1) !== part.type) types.push(part.type);
    }
    const order = ['reasoning-start', 'reasoning-delta', 'reasoning-end', 'text-start', 'text-end'];
    assert.deepEqual(
      types.filter((type) => order.includes(type)),
      order,
    );
    const without = await generateText({
      ...settings,
      providerOptions: { paceline: { thinking: false } },
    });
    assert.equal(without.reasoningText, undefined);
  });

  it('required and named calls are valid, streamed too', async () => {
    const settings = { model: thinking, prompt: 'Read it.', maxOutputTokens: 400, seed: 4 };
    const providerOptions = { paceline: { parallelToolCalls: false } };
    for (const toolChoice of ['required', { type: 'tool', toolName: 'read' }] as const) {
      const called = await generateText({ ...settings, tools, toolChoice, providerOptions });
      assert.equal(called.finishReason, 'tool-calls');
      assert.equal(called.toolCalls.length, 1);
      input.parse(called.toolCalls[0]?.input);
      assert.ok(!called.text.includes('tool_call>'), 'markup leaks');
      const stream = streamText({ ...settings, tools, toolChoice, providerOptions });
      let streamed = '';
      for await (const part of stream.fullStream) {
        if (part.type === 'tool-input-delta') streamed += part.delta;
      }
      const [call] = await stream.toolCalls;
      assert.deepEqual(call?.input, called.toolCalls[0]?.input);
      assert.deepEqual(JSON.parse(streamed), call?.input);
    }
  });

  it('goes on over several steps with the results of tools', async () => {
    const { steps } = await generateText({
      model: thinking,
      prompt: 'Read it.',
      maxOutputTokens: 200,
      seed: 4,
      tools,
      stopWhen: isStepCount(3),
      providerOptions: { paceline: { parallelToolCalls: false, reasoningBudget: 8 } },
      prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber < 2 ? 'required' : 'none' }),
    });
    assert.equal(steps.length, 3);
    assert.match(String(steps[0]?.toolResults[0]?.output), /^content of [ab]$/);
    assert.equal(steps[2]?.toolCalls.length, 0);
    const [first, second] = steps;
    // The second prompt goes on from the first.
    const cached = second?.usage.inputTokenDetails.cacheReadTokens ?? 0;
    assert.ok(cached >= (first?.usage.inputTokens ?? 0) / 2, `${cached} cached`);
  });

  it('objects keep to their schema, whole and streamed', async () => {
    const settings = { model: thinking, prompt, maxOutputTokens: 400, seed: 2 };
    const { output } = await generateText({
      ...settings,
      output: Output.object({ schema: input }),
    });
    input.parse(output);
    const { object } = await generateObject({ ...settings, schema: input });
    assert.deepEqual(object, output);
    const stream = streamObject({ ...settings, schema: input });
    for await (const part of stream.partialObjectStream) assert.ok(part);
    assert.deepEqual(await stream.object, output);
    const choice = Output.choice({ options: ['left', 'right'] });
    const { output: side } = await generateText({ ...settings, output: choice });
    assert.match(side, /^(left|right)$/);
  });

  it('an object may come after calls of tools, in one call', async () => {
    const { steps, output } = await generateText({
      model: thinking,
      prompt: 'Read it.',
      maxOutputTokens: 400,
      seed: 4,
      tools,
      output: Output.object({ schema: input }),
      stopWhen: isStepCount(2),
      providerOptions: { paceline: { parallelToolCalls: false, reasoningBudget: 8 } },
      prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber < 1 ? 'required' : 'none' }),
    });
    assert.match(String(steps[0]?.toolResults[0]?.output), /^content of [ab]$/);
    input.parse(output);
  });

  it('keeps to a regular expression', async () => {
    const format = { type: 'regex', pattern: '[a-c]{3}-\\d{2}' };
    const { text } = await generateText({
      model: embedded,
      prompt,
      providerOptions: { paceline: { format } },
    });
    assert.match(text, /^[a-c]{3}-\d{2}$/);
  });

  it('makes vectors, those of the engine, one by one and together', async () => {
    const vectors = paceline.embeddingModel('default');
    const values = ['const a = 1;', '# Heading', '', 'const b = 2;'];
    const many = await embedMany({ model: vectors, values });
    const model = await loadModel('default', { threads: 1, contextLength: 512 });
    const direct = await model.embed(values);
    await model.dispose();
    assert.deepEqual(
      many.embeddings,
      direct.vectors.map((vector) => [...vector]),
    );
    assert.equal(many.usage.tokens, direct.tokens);
    assert.deepEqual(many.providerMetadata?.paceline, { pooling: direct.pooling });
    for (const [index, value] of values.entries()) {
      const { embedding } = await embed({ model: vectors, value });
      assert.deepEqual(embedding, many.embeddings[index]);
    }
    const { embedding } = await embed({
      model: vectors,
      value: 'const a = 1;',
      providerOptions: { paceline: { pooling: 'mean', dimensions: 8 } },
    });
    assert.equal(embedding.length, 8);
    assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-5);
    assert.notDeepEqual(embedding, many.embeddings[0]?.slice(0, 8));
    const signal = AbortSignal.abort();
    await assert.rejects(embed({ model: vectors, value: 'a', abortSignal: signal }), {
      name: 'AbortError',
    });
  });

  it('files of text are read, also in results of tools, and registries find models', async () => {
    const data = Buffer.from('one').toString('base64');
    const file = { type: 'file', mediaType: 'text/plain', filename: 'a.txt', data } as const;
    const text = { type: 'text', text: 'a.txt:\none\n' } as const;
    const registry = createProviderRegistry({ paceline });
    const model = registry.languageModel('paceline:default');
    const call = { model, temperature: 0, maxOutputTokens: 6 };
    const told = await generateText({ ...call, prompt: [{ role: 'user', content: [file] }] });
    const said = await generateText({ ...call, prompt: [{ role: 'user', content: [text] }] });
    assert.equal(told.usage.inputTokens, said.usage.inputTokens);
    assert.equal(told.text, said.text);
    const part = { type: 'file', mediaType: 'text', data: { type: 'text', text: 'one' } } as const;
    const result = { toolCallId: 'a', toolName: 'read', type: 'tool-result' } as const;
    const ask = { type: 'tool-call', toolCallId: 'a', toolName: 'read', input: {} } as const;
    const withOutput = (
      output: { type: 'text'; value: string } | { type: 'content'; value: [typeof part] },
    ) =>
      generateText({
        ...call,
        model: thinking,
        maxOutputTokens: 1,
        prompt: [
          { role: 'user', content: 'Read it.' },
          { role: 'assistant', content: [ask] },
          { role: 'tool', content: [{ ...result, output }] },
        ],
      });
    const whole = await withOutput({ type: 'content', value: [part] });
    const plain = await withOutput({ type: 'text', value: 'one' });
    assert.equal(whole.usage.inputTokens, plain.usage.inputTokens);
  });

  it('an abort ends the text, and its slot serves the next call', async () => {
    for (let round = 0; round < 3; round++) {
      const abort = new AbortController();
      const settings = { model: embedded, prompt, maxOutputTokens: 1500 };
      const stream = streamText({ ...settings, abortSignal: abort.signal });
      const types = new Set<string>();
      for await (const part of stream.fullStream) {
        types.add(part.type);
        if (part.type === 'text-delta') abort.abort();
      }
      assert.ok(types.has('abort'), [...types].join());
    }
    const signal = AbortSignal.abort();
    await assert.rejects(generateText({ model: embedded, prompt, abortSignal: signal }), {
      name: 'AbortError',
    });
    await generateText({ model: embedded, prompt, maxOutputTokens: 1 });
  });

  it('more calls than slots wait and say what they say alone', async () => {
    const settings = { model: embedded, temperature: 0, maxOutputTokens: 8, maxRetries: 0 };
    const prompts = ['class A', 'let b', 'if (c)', 'for (d', 'type E'];
    const together = await Promise.all(
      prompts.map((text) => generateText({ ...settings, prompt: text })),
    );
    for (const [index, text] of prompts.entries()) {
      assert.equal((await generateText({ ...settings, prompt: text })).text, together[index]?.text);
    }
  });

  it('warns of what it has no counterpart for', async () => {
    const other = { type: 'provider', id: 'openai.web_search', name: 'search', args: {} } as const;
    const search = { ...other, inputSchema: z.object({}) } as unknown as ToolSet[string];
    const { warnings } = await generateText({
      model: embedded,
      prompt,
      maxOutputTokens: 1,
      tools: { search },
    });
    assert.equal(warnings?.[0]?.type, 'unsupported');
  });

  it('refuses by name what it can’t do', async () => {
    const refused = async (call: PromiseLike<unknown>, code: string, words: RegExp) => {
      await assert.rejects(Promise.resolve(call), (error) => {
        assert.ok(PacelineError.is(error), String(error));
        assert.equal(error.code, code);
        assert.match(error.message, words);
        return true;
      });
    };
    const call = { model: embedded, prompt, maxRetries: 0 };
    await refused(
      generateText({ ...call, model: paceline('hf:no/body') }),
      'model-not-found',
      /no\/body/,
    );
    await refused(
      generateText({ ...call, model: paceline('/no.gguf') }),
      'model-not-found',
      /no\.gguf/,
    );
    await refused(
      generateText({ ...call, prompt: 'word '.repeat(9000) }),
      'context-overflow',
      /2048/,
    );
    await refused(
      generateText({ ...call, providerOptions: { paceline: { temprature: 1 } } }),
      'usage',
      /temprature/,
    );
    const image = { type: 'file', mediaType: 'image/png', data: new Uint8Array(4) } as const;
    await refused(
      generateText({ ...call, prompt: [{ role: 'user', content: [image] }] }),
      'usage',
      /prompt\.0\.content\.0.*image\/png/,
    );
    const wide = { paceline: { dimensions: 100_000 } };
    const vectors = paceline.embeddingModel('default');
    const one = { model: vectors, value: prompt, maxRetries: 0 };
    await refused(embed({ ...one, providerOptions: wide }), 'usage', /dimensions/);
    const misspelt = { paceline: { poling: 'mean' } };
    await refused(embed({ ...one, providerOptions: misspelt }), 'usage', /poling/);
    await refused(embed({ ...one, value: 'word '.repeat(9000) }), 'context-overflow', /2048/);
    assert.throws(() => paceline.imageModel('default'), /no images/);
    assert.throws(() => createPaceline({ slots: 0 }), /slots/);
    const errors: unknown[] = [];
    const stream = streamText({
      ...call,
      prompt: 'word '.repeat(9000),
      onError: ({ error }) => void errors.push(error),
    });
    await stream.consumeStream();
    assert.equal((errors[0] as PacelineError).code, 'context-overflow');
  });
});

describe('models that are loaded already', () => {
  let model: Model;
  before(async () => {
    model = await loadModel('default', { threads: 1, contextLength: 512 });
  });
  after(() => model.dispose());

  it('say the same, and outlive the provider', async () => {
    const settings = { prompt, temperature: 0, maxOutputTokens: 8 };
    const provider = createPaceline({ models: { mine: model } });
    const { text } = await generateText({ ...settings, model: provider('mine') });
    await provider.dispose();
    const direct = await model.chat([{ role: 'user', content: prompt }], {
      temperature: 0,
      maxTokens: 8,
    });
    assert.equal(direct.text, text);
    await assert.rejects(generateText({ ...settings, model: provider('mine') }), /disposed/);
  });
});
