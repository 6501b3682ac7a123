/**
 * What is measured of our own engine: prefill, greedy decode, and passes over several tokens at
 * once. Works below the sessions, so that no end token or stop string cuts a run short.
 */
import { Chooser } from '../decode/chooser.js';
import { resolveSampling } from '../decode/settings.js';
import type { Logits } from '../decode/top-row.js';
import type { Model } from '../engine/model.js';
import type { PassRows } from '../engine/pass-runner.js';

export interface RunTimes {
  readonly prefillMs: number;
  /** Time of `tokens` decode steps. */
  readonly decodeMs: number;
  readonly tokens: number;
}

const settings = resolveSampling({ temperature: 0, seed: 0 });

function lastOf({ logits, top }: PassRows): Logits {
  const row = (top ?? logits).at(-1);
  if (row === undefined) throw new Error('a pass returned no logits');
  return row;
}

/**
 * One run: prefill of all of the prompt but its last token, then `generate` greedy tokens. The first
 * token is not counted, as with the peer: it warms up.
 */
export async function measureRun(
  model: Model,
  prompt: readonly number[],
  generate: number,
  signal?: AbortSignal,
): Promise<RunTimes> {
  const { runtime } = model;
  const text = runtime.createText();
  try {
    const started = performance.now();
    if (prompt.length > 1) await runtime.prefill(text, prompt.slice(0, -1), { signal });
    const prefilled = performance.now();
    const chooser = new Chooser({ settings, tokens: prompt });
    const { topNeeded: top } = chooser;
    const step = async (): Promise<void> => {
      const rows = await runtime.run(text, [chooser.last], { top, signal });
      chooser.accept(chooser.choose(lastOf(rows)).token);
    };
    await step();
    const first = performance.now();
    for (let count = 0; count < generate; count++) await step();
    return {
      prefillMs: prefilled - started,
      decodeMs: performance.now() - first,
      tokens: generate,
    };
  } finally {
    runtime.release(text);
  }
}

const passesInTurn = 3;

/**
 * Times of passes over each of these numbers of tokens after the prompt, with what a verification of
 * drafts needs of all rows' logits. The sizes take turns; after each change of size one pass
 * is not counted.
 * @returns milliseconds, one list for each batch.
 */
export async function measureBatches(
  model: Model,
  prompt: readonly number[],
  batches: readonly number[],
  rounds: number,
  signal?: AbortSignal,
): Promise<number[][]> {
  const { runtime } = model;
  const text = runtime.createText();
  const { topNeeded: top } = new Chooser({ settings, tokens: prompt });
  try {
    await runtime.prefill(text, prompt, { signal });
    const times: number[][] = batches.map(() => []);
    for (let round = 0; round < rounds; round++) {
      for (const [index, batch] of batches.entries()) {
        const tokens = Array.from({ length: batch }, (_, at) => prompt[at % prompt.length] ?? 0);
        for (let pass = 0; pass <= passesInTurn; pass++) {
          const started = performance.now();
          await runtime.run(text, tokens, { outputs: 'all', top, signal });
          if (pass > 0) times[index]?.push(performance.now() - started);
          text.truncate(prompt.length);
        }
      }
    }
    return times;
  } finally {
    runtime.release(text);
  }
}
