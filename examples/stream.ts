/**
 * Streams a text to stdout as it is made.
 * Run it with: npx tsx examples/stream.ts [model] [prompt]
 */
import { loadModel } from '../src/index.js'; // in your program: from 'paceline'

const [path = 'default', prompt = 'export function '] = process.argv.slice(2);

const model = await loadModel(path, {
  onProgress: ({ task, done, total }) => {
    if (done === total) console.error(`${task}: done`);
  },
});

for await (const event of model.stream(prompt, { maxTokens: 100, temperature: 0.7, seed: 1 })) {
  if (event.type === 'text') {
    process.stdout.write(event.text);
  } else {
    const { tokens, timings, finishReason } = event.generation;
    const speed = timings.decodeTokensPerSecond.toFixed(1);
    console.error(`\n${tokens.length} tokens at ${speed} tokens/s, ended by ${finishReason}`);
  }
}

await model.dispose();
