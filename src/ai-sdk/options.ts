/** What callers of the provider may say and are told: types without any of the SDK's own. */
import type { OutputFormat } from '../chat/request.js';
import type { Model } from '../engine/model.js';
import type { DraftKind, LoadOptions, Pooling } from '../engine/types.js';

export interface PacelineProviderOptions {
  /** How models are loaded: context, threads, drafters … Default: as `loadModel` does. */
  readonly load?: Omit<LoadOptions, 'signal'>;
  /**
   * Names of your own for models: other names, paths, or models that are loaded already, which the
   * provider never disposes of. Default: none.
   */
  readonly models?: Readonly<Record<string, string | Model>>;
  /**
   * Calls of one model that run at once, 1 or more, each with a KV cache of its own, kept for the next
   * call; more of them wait. Default 4.
   */
  readonly slots?: number;
}

/** What `providerOptions.paceline` may say, beyond the settings that every provider has. */
export interface PacelineCallOptions {
  /** Drop tokens below this share of the likeliest one, 0 to 1; default 0.05. */
  readonly minP?: number;
  /** Makes tokens of the window less likely, above 0; default 1, off. */
  readonly repetitionPenalty?: number;
  /** How many of the last tokens the penalties look at; -1 is all; default 64. */
  readonly penaltyWindow?: number;
  /** Added to the logits, by token id. */
  readonly logitBias?: Readonly<Record<number, number>>;
  /** Which drafter may propose tokens; never changes the text. Default `auto`. */
  readonly draft?: DraftKind;
  /** Most tokens drafted at once. */
  readonly draftMax?: number;
  /** Texts with more are served first where not all can be at once; default 0. */
  readonly priority?: number;
  /** For templates that know it: whether the model may think first. */
  readonly thinking?: boolean;
  /** Tokens of thought before the answer has to begin, 0 or more. */
  readonly reasoningBudget?: number;
  /** Further variables of the chat template. */
  readonly templateVariables?: Readonly<Record<string, unknown>>;
  /** Whether more than one call may be made in one answer; default true. */
  readonly parallelToolCalls?: boolean;
  /** A language that the text must stay in, where a JSON schema does not say it. */
  readonly format?: Extract<OutputFormat, { type: 'regex' | 'grammar' | 'choice' }>;
  /** Calls of one conversation: prefers the cache that served them before. */
  readonly conversation?: string;
}

/** What `providerOptions.paceline` may say of embeddings. */
export interface PacelineEmbeddingOptions {
  /** How a text's hidden states become one vector; default: as the model's file says, else `last`. */
  readonly pooling?: Pooling;
  /** How many of a vector's first values are kept, 1 or more; default: all. */
  readonly dimensions?: number;
}

/** What `providerMetadata.paceline` says of embeddings. */
export interface PacelineEmbeddingMetadata {
  readonly pooling: Pooling;
}
