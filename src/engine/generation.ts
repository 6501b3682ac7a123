/**
 * One text, from prompt tokens to its end: prefill, then sample, emit and run the next pass, until
 * an end token, a stop string, the token limit, a full context, or an abort. The loop is the same
 * with and without drafts: a pass runs the last token and what a drafter proposed after it, and
 * every row's own sample decides how many of them stand.
 */
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import { TokenHistory } from '../decode/history.js';
import type { SamplingSettings } from '../decode/settings.js';
import type { Finish } from '../decode/stop.js';
import { type VerifiedToken, verifyDrafts } from '../decode/verify.js';
import type { Sequence } from './sequence.js';
import type { FinishReason, Generation, StreamEvent, TokenLogprob } from './types.js';

export interface GenerationInput {
  readonly sequence: Sequence;
  /** Prompt tokens, at least one. */
  readonly prompt: readonly number[];
  readonly settings: SamplingSettings;
  /** Fresh; it decides when the text ends and which characters may be shown. */
  readonly finish: Finish;
  readonly prefillChunk: number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Streams the text. An abort ends it with finish reason `abort` and what there is; it never throws
 * for that. The sequence then holds the prompt and the text as far as passes have seen them.
 * @throws {PacelineError} `context-overflow` when the prompt doesn't fit, `bad-weights`, `memory`.
 */
export async function* generate(input: GenerationInput): AsyncGenerator<StreamEvent, void> {
  const { sequence, prompt, settings, finish, signal } = input;
  const history = new TokenHistory(prompt);
  const tokens: number[] = [];
  const logprobs: TokenLogprob[] = [];
  let text = '';
  let reason: FinishReason | undefined;
  let steps = 0;
  let cachedTokens = 0;
  const began = performance.now();
  let prefilled = began;
  try {
    const { result, cachedTokens: cached } = await sequence.prefill(prompt, {
      chunk: input.prefillChunk,
      onProgress: input.onProgress,
      signal,
    });
    cachedTokens = cached;
    prefilled = performance.now();
    let rows = result.logits;
    if (finish.remaining === 0) reason = 'length';
    while (reason === undefined) {
      const step = verifyDrafts({
        drafts: [],
        row: (index) => rowAt(rows, index),
        history,
        settings,
        finish,
      });
      const kept = step.tokens.filter(({ keep }) => keep);
      for (const token of kept) {
        tokens.push(token.token);
        if (settings.logprobs > 0) logprobs.push(logprobOf(token));
      }
      const piece = step.tokens.map((token) => token.text).join('');
      text += piece;
      reason = step.finish;
      yield {
        type: 'text',
        text: piece,
        tokens: kept.map(({ token }) => token),
        drafted: kept.map(({ drafted }) => drafted),
      };
      if (reason !== undefined) break;
      if (history.length > sequence.cache.capacity) {
        reason = 'length';
        break;
      }
      ({ logits: rows } = await sequence.run([history.last], { signal }));
      steps++;
    }
  } catch (error) {
    if (!(PacelineError.is(error) && error.code === 'aborted')) throw error;
    reason = 'abort';
  }
  const rest = finish.flush();
  if (rest !== '') {
    text += rest;
    yield { type: 'text', text: rest, tokens: [], drafted: [] };
  }
  const decodeMs = performance.now() - prefilled;
  const prefillMs = prefilled - began;
  const generation: Generation = {
    text,
    tokens,
    finishReason: reason ?? 'abort',
    promptTokens: prompt.length,
    cachedTokens,
    seed: settings.seed,
    ...(settings.logprobs > 0 ? { logprobs } : {}),
    timings: {
      prefillMs,
      prefillTokensPerSecond: perSecond(prompt.length - cachedTokens, prefillMs),
      decodeMs,
      decodeTokensPerSecond: perSecond(tokens.length, decodeMs),
    },
    draft: { kind: 'none', steps, drafted: 0, accepted: 0 },
  };
  yield { type: 'end', generation };
}

function rowAt(rows: readonly Float32Array[], index: number): Float32Array {
  const row = rows[index];
  if (row === undefined) throw new PacelineError('internal', `A pass returned no row ${index}`);
  return row;
}

function logprobOf(sampled: VerifiedToken): TokenLogprob {
  return { token: sampled.token, logprob: sampled.logprob ?? 0, top: sampled.top ?? [] };
}

function perSecond(count: number, milliseconds: number): number {
  return milliseconds > 0 ? (count * 1000) / milliseconds : 0;
}
