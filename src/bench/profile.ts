/** Where the time of a pass goes: by kind of operation and by layer. */
import type { Model } from '../engine/model.js';
import { GraphProfiler, type OperationTime } from '../ggml/profiler.js';
import { median } from './statistics.js';

export interface ProfileReport {
  /** Tokens of the pass, and how many were in the cache before. */
  readonly tokens: number;
  readonly past: number;
  /** Median time of whole passes, as they usually run. */
  readonly pass_ms: number;
  /** Sum of the operations' times, each computed alone. */
  readonly sum_ms: number;
  /** Most expensive first; `by`: whose kernel computes it. */
  readonly operations: readonly (Pick<OperationTime, 'operation' | 'by'> & {
    readonly count: number;
    readonly ms: number;
  })[];
  readonly layers: readonly { layer: string; ms: number }[];
}

/** Profiles passes over `tokens` tokens after the prompt. */
export async function profilePass(
  { runtime }: Model,
  prompt: readonly number[],
  tokens: readonly number[],
  rounds: number,
  signal?: AbortSignal,
): Promise<ProfileReport> {
  const { backend } = runtime;
  const profiler = new GraphProfiler();
  const past = prompt.length;
  /** One round is not counted. */
  const passes = async (): Promise<number[]> => {
    const text = runtime.createText();
    try {
      if (past > 0) await runtime.prefill(text, prompt, { signal });
      const times: number[] = [];
      for (let round = 0; round <= rounds; round++) {
        const { passMs } = await runtime.run(text, tokens, { outputs: 'all', signal });
        if (round > 0) times.push(passMs);
        text.truncate(past);
      }
      return times;
    } finally {
      runtime.release(text);
    }
  };
  try {
    const times = await passes();
    // Graphs are made anew for a profiler, which sees them from the first tensor on.
    backend.profiler = profiler;
    await passes();
    const merged = mergeRuns(profiler.runs.slice(-rounds));
    return {
      tokens: tokens.length,
      past,
      pass_ms: median(times),
      sum_ms: merged.reduce((sum, { ms }) => sum + ms, 0),
      operations: [...group(merged, ({ operation, by }) => `${by} ${operation}`).values()]
        .map(({ first: { operation, by }, count, ms }) => ({ operation, by, count, ms }))
        .sort((a, b) => b.ms - a.ms),
      layers: [...group(merged, ({ section }) => section)].map(([layer, { ms }]) => ({
        layer,
        ms,
      })),
    };
  } finally {
    backend.profiler = undefined;
  }
}

/** Each operation's median over runs of the same graph. */
function mergeRuns(runs: readonly (readonly OperationTime[])[]): OperationTime[] {
  const [first = []] = runs;
  return first.map((operation, index) => ({
    ...operation,
    ms: median(runs.map((run) => run[index]?.ms ?? operation.ms)),
  }));
}

function group(times: readonly OperationTime[], key: (time: OperationTime) => string) {
  const sums = new Map<string, { first: OperationTime; count: number; ms: number }>();
  for (const time of times) {
    const { first, count, ms } = sums.get(key(time)) ?? { first: time, count: 0, ms: 0 };
    sums.set(key(time), { first, count: count + 1, ms: ms + time.ms });
  }
  return sums;
}
