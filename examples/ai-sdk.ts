/**
 * The AI SDK with the engine in this process: a stream, a tool over several steps, an
 * object, and vectors.
 * Run it with: npx tsx examples/ai-sdk.ts [model]
 * The embedded model continues text and calls no tool of its own will; an instruct model does.
 */
import { embedMany, generateText, isStepCount, Output, streamText, tool } from 'ai';
import { z } from 'zod';
import { createPaceline } from '../src/ai-sdk/index.js'; // in your program: from 'paceline/ai-sdk'

const [name = 'default'] = process.argv.slice(2);
const paceline = createPaceline({ load: { contextLength: 2048 } });
const model = paceline(name);

const stream = streamText({ model, prompt: 'Write a function that adds.', maxOutputTokens: 60 });
for await (const piece of stream.textStream) process.stdout.write(piece);
console.log('\n', (await stream.providerMetadata)?.paceline);

const weather = tool({
  description: 'The weather of a city',
  inputSchema: z.object({ city: z.enum(['Oslo', 'Rome']) }),
  execute: async ({ city }) => ({ city, degrees: city === 'Oslo' ? 4 : 19 }),
});
const { steps } = await generateText({
  model,
  prompt: 'How warm is it in Rome?',
  tools: { weather },
  stopWhen: isStepCount(2),
  maxOutputTokens: 100,
  prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? 'required' : 'none' }),
  providerOptions: { paceline: { parallelToolCalls: false } },
});
for (const { toolResults, text } of steps) console.log(toolResults[0]?.output ?? text);

const { output } = await generateText({
  model,
  prompt: 'Describe a river.',
  output: Output.object({
    schema: z.object({ name: z.string().max(20), lengthKm: z.int().min(1).max(9999) }),
  }),
});
console.log(output);

const { embeddings } = await embedMany({
  model: paceline.embeddingModel(name),
  values: ['const a = 1;', 'let b = 2;'],
});
console.log(
  embeddings.map((vector) => `${vector.length} values, the first ${vector[0]?.toFixed(3)}`),
);

await paceline.dispose();
