/**
 * What drafters are worth on text: greedy continuations of the same prompts with each of them in
 * turn, whole sessions as a user has them. The tokens must be the same; a difference is an error.
 */
import { PacelineError } from '../../base/errors.js';
import type { Model } from '../../engine/model.js';
import type { DraftKind, Generation } from '../../engine/types.js';

/** One round of one drafter over all prompts. */
export interface DraftRun {
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** Tokens of the prompts, and generated ones. */
  readonly promptTokens: number;
  readonly tokens: number;
  readonly steps: number;
  readonly drafted: number;
  readonly accepted: number;
}

export interface DraftBenchOptions {
  readonly kinds: readonly DraftKind[];
  readonly prompts: readonly string[];
  readonly generate: number;
  readonly rounds: number;
  readonly signal?: AbortSignal;
  readonly onRound?: (round: number) => void;
}

/**
 * Rounds of all drafters, taking turns, after one that is not counted.
 * @throws {PacelineError} `check-failed` when a drafter changes a token.
 */
export async function measureDrafts(
  model: Model,
  options: DraftBenchOptions,
): Promise<Map<DraftKind, DraftRun[]>> {
  const runs = new Map<DraftKind, DraftRun[]>(options.kinds.map((kind) => [kind, []]));
  const expected = new Map<string, readonly number[]>();
  for (let round = 0; round <= options.rounds; round++) {
    options.onRound?.(round);
    for (const kind of options.kinds) {
      const generations: Generation[] = [];
      const session = model.createSession();
      try {
        for (const prompt of options.prompts) {
          session.truncate(0);
          const generation = await session.generate(prompt, {
            maxTokens: options.generate,
            temperature: 0,
            draft: kind,
            ...(options.signal === undefined ? {} : { signal: options.signal }),
          });
          options.signal?.throwIfAborted();
          compare(prompt, kind, generation.tokens, expected);
          generations.push(generation);
        }
      } finally {
        session.dispose();
      }
      if (round > 0) runs.get(kind)?.push(sum(generations));
    }
  }
  return runs;
}

function compare(
  prompt: string,
  kind: DraftKind,
  tokens: readonly number[],
  expected: Map<string, readonly number[]>,
): void {
  const before = expected.get(prompt);
  if (before === undefined) {
    expected.set(prompt, tokens);
  } else if (before.length !== tokens.length || before.some((id, at) => id !== tokens[at])) {
    throw new PacelineError('check-failed', `Drafting with ${kind} changed the text`, {
      hint: 'Run `paceline verify` on this model, and report what it shows.',
      details: { prompt },
    });
  }
}

function sum(generations: readonly Generation[]): DraftRun {
  const total = (value: (generation: Generation) => number): number =>
    generations.reduce((before, generation) => before + value(generation), 0);
  return {
    prefillMs: total(({ timings }) => timings.prefillMs),
    decodeMs: total(({ timings }) => timings.decodeMs),
    promptTokens: total(({ promptTokens, cachedTokens }) => promptTokens - cachedTokens),
    // The first token comes out of the prefill.
    tokens: total(({ tokens }) => Math.max(0, tokens.length - 1)),
    steps: total(({ draft }) => draft.steps),
    drafted: total(({ draft }) => draft.drafted),
    accepted: total(({ draft }) => draft.accepted),
  };
}
