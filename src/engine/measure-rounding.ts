/** Measures how far a device's logits depend on what is computed together. */
import { Rounding } from './rounding.js';
import type { Runtime } from './runtime.js';

/** Rows of each way that are compared. */
const rows = 24;
/** Sizes of the passes whose rows are compared with single ones, in turn. */
const sizes = [2, 3, 8, 5] as const;

/**
 * Reads the same tokens one by one, and several at a time: what earlier rows left in the cache then
 * differs as well, as it does behind accepted drafts.
 * @throws {PacelineError} `memory`, `aborted`.
 */
export async function measureRounding(runtime: Runtime, signal?: AbortSignal): Promise<Rounding> {
  const { vocabSize } = runtime.model.hyperparameters;
  const count = Math.min(rows, runtime.contextLength);
  const tokens = Array.from({ length: count }, (_, at) => (at * 7919 + 13) % vocabSize);
  const rounding = new Rounding();
  const [one, other] = [runtime.createInput(), runtime.createInput()];
  try {
    const alone: Float32Array[] = [];
    for (const token of tokens) {
      const { logits } = await runtime.run(one, [token], { signal });
      alone.push(Float32Array.from(logits[0] as Float32Array));
    }
    for (let start = 0, turn = 0; start < count; turn++) {
      const part = tokens.slice(start, start + (sizes[turn % sizes.length] as number));
      const { logits } = await runtime.run(other, part, { outputs: 'all', signal });
      for (const [at, row] of logits.entries()) {
        rounding.compare(alone[start + at] as Float32Array, row);
      }
      start += part.length;
    }
    return rounding;
  } finally {
    runtime.release(one);
    runtime.release(other);
  }
}
