/**
 * Whether two engines say the same: the same prompts, greedy, token by token with their log-probabilities
 * up to the first difference, and how near a tie the choice was there. Engines compute in other orders
 * and numbers, so that near-ties flip; a difference that is none of them is one of models, templates or
 * settings.
 */
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import type { TokenProbability } from '../chat/events.js';

/** One engine with one model. */
export interface ComparedEngine {
  readonly name: string;
  /** The greedy text after a prompt; `tokens` is empty where the engine tells no log-probabilities. */
  greedy(
    prompt: string,
    options: { readonly maxTokens: number; readonly signal: AbortSignal },
  ): Promise<{ readonly text: string; readonly tokens: readonly TokenProbability[] }>;
}

export interface CompareOptions {
  readonly engines: readonly [ComparedEngine, ComparedEngine];
  readonly prompts: readonly string[];
  readonly maxTokens: number;
  /** In nats: a choice whose two best are nearer than this is a near-tie. */
  readonly tolerance: number;
  readonly onProgress?: OnProgress;
  readonly signal: AbortSignal;
}

export interface TextDifference {
  readonly prompt: string;
  /** Tokens before it, which are the same. */
  readonly position: number;
  /** What each said there; empty: the text had ended. */
  readonly said: readonly [string, string];
  /** By how much each preferred its own token to the other's, in nats; undefined where it does not tell. */
  readonly margins: readonly [number | undefined, number | undefined];
  readonly isNearTie: boolean;
}

export interface Comparison {
  readonly engines: readonly [string, string];
  readonly texts: number;
  readonly identical: number;
  /** Tokens that were compared and are the same. */
  readonly tokens: number;
  readonly differences: readonly TextDifference[];
  /** Differences that are near-ties. */
  readonly nearTies: number;
  /** Of the tokens that are the same; undefined where no log-probabilities were told. */
  readonly logprobs:
    | { readonly compared: number; readonly mean: number; readonly max: number }
    | undefined;
  /** Every difference is a near-tie. */
  readonly passed: boolean;
}

/** @throws {PacelineError} what an engine throws; `aborted` */
export async function compareEngines(options: CompareOptions): Promise<Comparison> {
  const { engines, prompts, maxTokens, tolerance, onProgress, signal } = options;
  const differences: TextDifference[] = [];
  const gaps: number[] = [];
  let tokens = 0;
  for (const [index, prompt] of prompts.entries()) {
    if (signal.aborted) throw new PacelineError('aborted', 'The comparison was given up');
    const [first, second] = [
      await engines[0].greedy(prompt, { maxTokens, signal }),
      await engines[1].greedy(prompt, { maxTokens, signal }),
    ];
    const found =
      first.tokens.length > 0 && second.tokens.length > 0
        ? firstDifference(first.tokens, second.tokens, gaps)
        : textDifference(first.text, second.text);
    tokens += found.same;
    if (found.said !== undefined) {
      const { said, margins } = found;
      const isNearTie = margins.some((margin) => margin !== undefined && margin <= tolerance);
      differences.push({ prompt, position: found.same, said, margins, isNearTie });
    }
    onProgress?.({ task: 'comparing', done: index + 1, total: prompts.length, unit: 'steps' });
  }
  const nearTies = differences.filter(({ isNearTie }) => isNearTie).length;
  return {
    engines: [engines[0].name, engines[1].name],
    texts: prompts.length,
    identical: prompts.length - differences.length,
    tokens,
    differences,
    nearTies,
    logprobs:
      gaps.length === 0
        ? undefined
        : {
            compared: gaps.length,
            mean: gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length,
            max: gaps.reduce((most, gap) => Math.max(most, gap), 0),
          },
    passed: nearTies === differences.length,
  };
}

interface Found {
  readonly same: number;
  readonly said?: TextDifference['said'];
  readonly margins: TextDifference['margins'];
}

function firstDifference(
  first: readonly TokenProbability[],
  second: readonly TokenProbability[],
  gaps: number[],
): Found {
  const length = Math.max(first.length, second.length);
  for (let at = 0; at < length; at++) {
    const [a, b] = [first[at], second[at]];
    if (a !== undefined && b !== undefined && a.text === b.text) {
      gaps.push(Math.abs(a.logprob - b.logprob));
      continue;
    }
    const margins = [marginOf(a, b), marginOf(b, a)] as const;
    return { same: at, said: [a?.text ?? '', b?.text ?? ''], margins };
  }
  return { same: length, margins: [undefined, undefined] };
}

/** By how much a token was preferred to the one that the other engine chose. */
function marginOf(
  own: TokenProbability | undefined,
  other: TokenProbability | undefined,
): number | undefined {
  const theirs = own?.top.find(({ text }) => text === other?.text);
  if (own === undefined || theirs === undefined) return undefined;
  return own.logprob - theirs.logprob;
}

function textDifference(first: string, second: string): Found {
  if (first === second) return { same: 0, margins: [undefined, undefined] };
  let at = 0;
  while (first[at] === second[at]) at++;
  const said = [first.slice(at, at + 20), second.slice(at, at + 20)] as const;
  return { same: 0, said, margins: [undefined, undefined] };
}
