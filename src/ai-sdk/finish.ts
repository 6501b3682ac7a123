/** How a text ended, in the words of the AI SDK: the reason, the tokens that were used, our metadata. */
import type {
  LanguageModelV3FinishReason,
  LanguageModelV3Usage,
  SharedV3ProviderMetadata,
} from '@ai-sdk/provider';
import type { ChoiceEnd, StartEvent } from '../chat/events.js';

/** What `providerMetadata.paceline` says of a text. */
export interface PacelineMetadata {
  /** Prompt tokens that did not have to be computed. */
  readonly cachedTokens: number;
  /** Tokens that drafters proposed, and how many of them the model would have said itself. */
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
  /** The drafter that was used; `none` when nothing was drafted. */
  readonly drafter: string;
  /** Passes of the model while decoding. */
  readonly steps: number;
  /** The seed, also where a random one was taken: with it the text can be had again. */
  readonly seed: number;
  /** The stop string that ended the text, if one did. */
  readonly stopText?: string;
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly decodeTokensPerSecond: number;
}

/** The last words on a text, for a whole answer and for the end of a stream alike. */
export function finishOf(start: StartEvent, end: ChoiceEnd) {
  const { promptTokens, cachedTokens } = start;
  const { tokens, reasoningTokens, draft, seed, stopText, timings, reason } = end;
  const metadata: PacelineMetadata = {
    cachedTokens,
    draftedTokens: draft.drafted,
    acceptedTokens: draft.accepted,
    drafter: draft.kind,
    steps: draft.steps,
    seed,
    ...(stopText === undefined ? {} : { stopText }),
    prefillMs: timings.prefillMs,
    decodeMs: timings.decodeMs,
    decodeTokensPerSecond: timings.decodeTokensPerSecond,
  };
  return {
    finishReason: { unified: reason === 'stop-text' ? 'stop' : reason, raw: reason },
    usage: {
      inputTokens: {
        total: promptTokens,
        noCache: promptTokens - cachedTokens,
        cacheRead: cachedTokens,
        cacheWrite: undefined,
      },
      outputTokens: { total: tokens, text: tokens - reasoningTokens, reasoning: reasoningTokens },
    },
    providerMetadata: { paceline: { ...metadata } },
  } satisfies {
    finishReason: LanguageModelV3FinishReason;
    usage: LanguageModelV3Usage;
    providerMetadata: SharedV3ProviderMetadata;
  };
}
