/**
 * One text, from prompt tokens to its end: prefill, then sample, emit and run the next pass, until
 * an end token, a stop string, the token limit, a full context, or an abort. The loop is the same
 * with and without drafts: a pass runs the last token and what a drafter proposed after it, and
 * every row's own sample decides how many of them stand.
 */
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import type { FeatureRows } from '../decode/drafter.js';
import type { Drafting } from '../decode/drafting.js';
import { TokenHistory } from '../decode/history.js';
import type { SamplingSettings } from '../decode/settings.js';
import type { Finish } from '../decode/stop.js';
import { type VerifiedToken, verifyDrafts } from '../decode/verify.js';
import type { PassResult } from './batcher.js';
import type { Sequence } from './sequence.js';
import type { DraftKind, FinishReason, Generation, StreamEvent, TokenLogprob } from './types.js';

export interface GenerationInput {
  readonly sequence: Sequence;
  /** Prompt tokens, at least one. */
  readonly prompt: readonly number[];
  readonly settings: SamplingSettings;
  /** Fresh; it decides when the text ends and which characters may be shown. */
  readonly finish: Finish;
  /** The sequence's drafters; they have observed what the sequence holds, or less. */
  readonly drafting: Drafting;
  /** How drafting was asked for, for the result. */
  readonly draftKind: DraftKind;
  readonly prefillChunk: number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Sees every row of logits that a token is chosen from, before it is; for checks. */
  readonly onRow?: ((position: number, logits: Float32Array) => void) | undefined;
}

/**
 * Streams the text. An abort ends it with finish reason `abort` and what there is; it never throws
 * for that. The sequence then holds the prompt and the text as far as passes have seen them.
 * @throws {PacelineError} `context-overflow` when the prompt doesn't fit, `bad-weights`, `memory`.
 */
export async function* generate(input: GenerationInput): AsyncGenerator<StreamEvent, void> {
  const { sequence, prompt, settings, finish, drafting, signal } = input;
  const history = new TokenHistory(prompt);
  const text = new TextSoFar(settings.logprobs > 0);
  const began = performance.now();
  let prefilled = began;
  let cachedTokens = 0;
  let reason: FinishReason | undefined = finish.remaining === 0 ? 'length' : undefined;
  try {
    cachedTokens = sequence.keepPrefix(prompt);
    drafting.align(prompt, cachedTokens);
    let pass = await sequence.prefill(prompt, {
      chunk: input.prefillChunk,
      ...drafterFeatures(drafting),
      onProgress: input.onProgress,
      signal,
      onPass: (position, tokens, result) => observe(drafting, position, tokens, result),
    });
    prefilled = performance.now();
    let drafts: readonly number[] = [];
    for (let first = true; reason === undefined; first = false) {
      const before = history.length;
      const verified = verifyDrafts({
        drafts,
        row(index) {
          const row = pass.logits[index];
          if (row === undefined) throw new PacelineError('internal', `No logits of row ${index}`);
          input.onRow?.(before + index, row);
          return row;
        },
        history,
        settings,
        finish,
      });
      if (!first) {
        // Rows of the last token and of the right guesses stay; those of wrong guesses go.
        const stay = 1 + verified.accepted;
        sequence.truncate(before - 1 + stay);
        observe(drafting, before - 1, history.view().slice(before - 1, before - 1 + stay), pass);
        drafting.settle(verified, pass.passMs, { otherRows: pass.otherRows });
      }
      reason = verified.finish;
      yield text.add(verified.tokens);
      if (reason !== undefined) break;
      const room = sequence.cache.capacity - history.length;
      if (room < 0) {
        reason = 'length';
        break;
      }
      const context = {
        tokens: history.view(),
        limit: Math.min(room, finish.remaining - 1),
        settings,
        signal,
      };
      drafts = (await drafting.next(context)).tokens;
      const rows = drafts.length + 1;
      const { features } = drafterFeatures(drafting);
      pass = await sequence.run([history.last, ...drafts], {
        outputs: 'all',
        features: features && { ...features, rows },
        signal,
      });
    }
  } catch (error) {
    if (!(PacelineError.is(error) && error.code === 'aborted')) throw error;
    reason = 'abort';
  }
  const rest = finish.flush();
  if (rest !== '') yield text.add([{ text: rest }]);
  const decodeMs = performance.now() - prefilled;
  const prefillMs = prefilled - began;
  const { steps, drafted, accepted, ...details } = drafting.statistics();
  const generation: Generation = {
    ...text.result,
    finishReason: reason ?? 'abort',
    promptTokens: prompt.length,
    cachedTokens,
    seed: settings.seed,
    timings: {
      prefillMs,
      prefillTokensPerSecond: perSecond(prompt.length - cachedTokens, prefillMs),
      decodeMs,
      decodeTokensPerSecond: perSecond(text.result.tokens.length, decodeMs),
    },
    draft: { kind: input.draftKind, steps, drafted, accepted, ...details },
  };
  yield { type: 'end', generation };
}

/** What the drafters read of the target's passes; nothing when none reads anything. */
function drafterFeatures({ needs }: Drafting) {
  const { hidden, taps, window = Number.POSITIVE_INFINITY, hiddenRows = window } = needs;
  const features =
    hidden || taps ? { ...(hidden ? { hidden } : {}), ...(taps ? { taps } : {}) } : undefined;
  return { features, featureWindow: window, hiddenWindow: hiddenRows };
}

/** Shows drafters the first `tokens.length` rows of a pass. */
function observe(
  drafting: Drafting,
  position: number,
  tokens: ArrayLike<number>,
  { hidden, taps }: PassResult,
): void {
  drafting.observe({
    position,
    tokens,
    ...(hidden ? { hidden: firstRows(hidden, tokens.length) } : {}),
    ...(taps ? { taps: firstRows(taps, tokens.length) } : {}),
  });
}

/** Without the rows of wrong guesses, which stand at the end. */
function firstRows(features: FeatureRows, tokens: number): FeatureRows {
  return features.rows <= tokens ? features : { ...features, rows: tokens };
}

/** Collects what a stream has said, for the result at its end. */
class TextSoFar {
  readonly #tokens: number[] = [];
  readonly #logprobs: TokenLogprob[] | undefined;
  #text = '';

  constructor(withLogprobs: boolean) {
    this.#logprobs = withLogprobs ? [] : undefined;
  }

  /** Adds verified tokens, or text without a token, and returns their event. */
  add(step: readonly (VerifiedToken | { readonly text: string })[]): StreamEvent {
    const kept = step.filter((part): part is VerifiedToken => 'token' in part && part.keep);
    const text = step.map((part) => part.text).join('');
    this.#text += text;
    for (const part of kept) {
      this.#tokens.push(part.token);
      const { token, logprob = 0, top = [] } = part;
      this.#logprobs?.push({ token, logprob, top });
    }
    return {
      type: 'text',
      text,
      tokens: kept.map(({ token }) => token),
      drafted: kept.map(({ drafted }) => drafted),
    };
  }

  get result() {
    return {
      text: this.#text,
      tokens: this.#tokens,
      ...(this.#logprobs ? { logprobs: this.#logprobs } : {}),
    };
  }
}

function perSecond(count: number, milliseconds: number): number {
  return milliseconds > 0 ? (count * 1000) / milliseconds : 0;
}
