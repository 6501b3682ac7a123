/**
 * A model inside another program: one session that reuses what it has computed, a fork that tries
 * another continuation, and an answer that is stopped halfway.
 * Run it with: npx tsx examples/sessions.ts [model]
 */
import { loadModel, PacelineError } from '../src/index.js'; // in your program: from 'paceline'

const model = await loadModel(process.argv[2] ?? 'default');
try {
  const preamble = 'import { readFile } from "node:fs/promises";\n\n';
  const session = model.createSession();
  const first = await session.generate(`${preamble}export async function `, {
    maxTokens: 40,
    temperature: 0,
  });
  console.log(`1. ${first.promptTokens} prompt tokens, ${first.cachedTokens} from the cache`);

  // The same beginning again: only what differs is computed.
  const second = await session.generate(`${preamble}export interface `, {
    maxTokens: 40,
    temperature: 0,
  });
  console.log(`2. ${second.promptTokens} prompt tokens, ${second.cachedTokens} from the cache`);

  // A fork shares the past and goes its own way; the session itself is not touched.
  const before = session.tokens.length;
  const fork = session.fork();
  for (const seed of [1, 2]) {
    const { text } = await fork.generate(`${preamble}export const `, {
      maxTokens: 12,
      temperature: 0.8,
      seed,
    });
    console.log(`3. seed ${seed}: ${JSON.stringify(text)}`);
  }
  fork.dispose();
  console.log(`   the session still holds ${session.tokens.length} of ${before} tokens`);

  // Stop after a few tokens, as a user who closes the window would.
  const controller = new AbortController();
  let seen = 0;
  try {
    const options = { maxTokens: 500, signal: controller.signal };
    for await (const event of session.stream('export class ', options)) {
      if (event.type === 'end') console.log(`4. ended by ${event.generation.finishReason}`);
      else if (++seen === 5) controller.abort();
    }
  } catch (error) {
    if (!PacelineError.is(error) || error.code !== 'aborted') throw error;
    console.log('4. aborted');
  }
  session.dispose();
} finally {
  await model.dispose();
}
