/** The AI SDK 6, whose interface is v3, against `paceline/ai-sdk/v3`: that the same holds. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  type EmbeddingModel,
  embedMany,
  generateText,
  type LanguageModel,
  Output,
  stepCountIs,
  streamText,
  tool,
} from 'ai-6';
import { z } from 'zod';
import { createPaceline, type PacelineProvider } from '../../src/ai-sdk/v3.js';
import { thinkingModel } from '../server/support.js';

const prompt = 'Write a loop in TypeScript.';
const input = z.object({ path: z.enum(['a', 'b']), count: z.int().min(0).max(99) });

describe('the provider for the AI SDK 6', () => {
  let paceline: PacelineProvider;
  let thinking: LanguageModel;
  // This repository has the types of both majors, in which JSON is written differently.
  const modelOf = (name: string) => paceline(name) as unknown as LanguageModel;
  before(async () => {
    const load = { threads: 1, contextLength: 2048 };
    paceline = createPaceline({ load, models: { thinking: await thinkingModel() }, slots: 2 });
    thinking = modelOf('thinking');
  });
  after(() => paceline.dispose());

  it('text, stream, files and metadata', async () => {
    const data = Buffer.from('one').toString('base64');
    const file = { type: 'file', mediaType: 'text/plain', data } as const;
    const settings = {
      model: modelOf('default'),
      prompt: [{ role: 'user' as const, content: [{ type: 'text' as const, text: prompt }, file] }],
      temperature: 0,
      maxOutputTokens: 10,
    };
    const whole = await generateText(settings);
    assert.equal(whole.usage.outputTokens, 10);
    assert.ok('draftedTokens' in (whole.providerMetadata?.paceline ?? {}));
    let text = '';
    for await (const piece of streamText(settings).textStream) text += piece;
    assert.equal(text, whole.text);
  });

  it('tools over several steps, thought and objects', async () => {
    const read = tool({ inputSchema: input, execute: ({ path }) => `content of ${path}` });
    const { steps } = await generateText({
      model: thinking,
      prompt: 'Read it.',
      maxOutputTokens: 200,
      seed: 4,
      tools: { read },
      stopWhen: stepCountIs(2),
      providerOptions: { paceline: { parallelToolCalls: false, reasoningBudget: 8 } },
      prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber < 1 ? 'required' : 'none' }),
    });
    assert.equal(steps.length, 2);
    assert.match(String(steps[0]?.toolResults[0]?.output), /^content of [ab]$/);
    assert.ok((steps[0]?.reasoningText ?? '').length > 0);
    const { output } = await generateText({
      model: thinking,
      prompt,
      maxOutputTokens: 400,
      output: Output.object({ schema: input }),
    });
    input.parse(output);
  });

  it('vectors, and aborts', async () => {
    const model = paceline.embeddingModel('default') as unknown as EmbeddingModel;
    const { embeddings, usage } = await embedMany({ model, values: ['a', 'b'] });
    assert.equal(embeddings.length, 2);
    assert.ok(usage.tokens >= 2);
    const abortSignal = AbortSignal.abort();
    await assert.rejects(generateText({ model: thinking, prompt, abortSignal }), {
      name: 'AbortError',
    });
  });
});
