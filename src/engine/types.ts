/**
 * The words of the public API: what a caller passes in and gets back. Types only.
 */
import type { OnProgress } from '../base/progress.js';
import type { KvType } from '../cache/kv-type.js';
import type { DraftReport } from '../decode/controller-types.js';

export type { OnProgress, Progress } from '../base/progress.js';
export type { KvType } from '../cache/kv-type.js';

/** Which drafter may propose tokens; it never changes the text. */
export type DraftKind = 'auto' | 'none' | 'ngram' | 'mtp' | 'dflash';

export interface LoadOptions {
  /** Threads that compute; default: the physical cores that this process may use. */
  readonly threads?: number;
  /** Longest context of a session in tokens; default: the model's own, at most 8192. */
  readonly contextLength?: number;
  /** Default: `i16` where it makes the cache faster (see `usualKvType`), otherwise `f16`. */
  readonly kvType?: KvType;
  /** GGUF files of drafters; default: those that come with the embedded model. */
  readonly draftModels?: readonly string[];
  /**
   * Positions that drafters with a cache of their own look back on, which bounds their memory;
   * default 512. Never changes the text.
   */
  readonly draftWindow?: number;
  /** Prompt tokens per prefill pass; default 512. Never changes the text. */
  readonly prefillChunk?: number;
  /** Texts that are generated at the same time; more of them wait. Default 64. */
  readonly maxRunning?: number;
  /** Texts that may wait; one more is refused (`busy`). Default 1024. */
  readonly maxWaiting?: number;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** Settings of one generation; every one has a default (see `src/decode/settings.ts`). */
export interface GenerateOptions {
  /** Most tokens to generate; default: until the model ends or the context is full. */
  readonly maxTokens?: number;
  /** 0 is greedy. */
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  /** How many of the last tokens the penalties look at. */
  readonly penaltyWindow?: number;
  /** Added to the logits, by token id. */
  readonly logitBias?: Readonly<Record<number, number>>;
  /** Same seed, same text; default: a fresh random one, reported in the result. */
  readonly seed?: number;
  /** Generation ends before the first of these strings; they are not part of the text. */
  readonly stop?: string | readonly string[];
  /** How many alternatives to report for each token; 0 (default) reports none. */
  readonly logprobs?: number;
  readonly draft?: DraftKind;
  /** Most tokens drafted at once. */
  readonly draftMax?: number;
  /** Texts with more are served first where not all can be at once; default 0. */
  readonly priority?: number;
  readonly signal?: AbortSignal;
  /** Progress of the prefill. */
  readonly onProgress?: OnProgress;
}

/** A token with its probability, and what it stands for. */
export interface LikelyToken {
  readonly token: number;
  /** Natural logarithm of the model's own probability, before temperature and filters. */
  readonly logprob: number;
  /** U+FFFD stands for bytes that are no whole character. */
  readonly text: string;
  /** UTF-8; empty for control tokens. */
  readonly bytes: Uint8Array;
}

export interface TokenLogprob extends LikelyToken {
  /** The likeliest tokens, best first; as many as were asked for. */
  readonly top: readonly LikelyToken[];
}

export type FinishReason = 'stop' | 'length' | 'abort';

export interface Timings {
  /** Until the first pass: other texts had the model's turns. */
  readonly queueMs: number;
  readonly prefillMs: number;
  /** Prompt tokens that were computed (not cached) per second. */
  readonly prefillTokensPerSecond: number;
  readonly decodeMs: number;
  readonly decodeTokensPerSecond: number;
}

export interface DraftStatistics {
  /** The drafter that was used; `none` when nothing was drafted. */
  readonly kind: DraftKind;
  /** Passes of the target model while decoding. */
  readonly steps: number;
  readonly drafted: number;
  readonly accepted: number;
  readonly byDrafter: Readonly<
    Record<string, { readonly drafted: number; readonly accepted: number }>
  >;
  /** Drafters that were given up, and why; the text went on without them. */
  readonly failed?: Readonly<Record<string, string>>;
  /** With `auto`: what was measured, tried and chosen, and why. */
  readonly controller?: DraftReport;
}

/** A finished generation. */
export interface Generation {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly finishReason: FinishReason;
  /** What ended the text where the reason is `stop`: a stop string, or an end token. */
  readonly stop?: string | number;
  readonly promptTokens: number;
  /** Prompt tokens whose KV rows were already there. */
  readonly cachedTokens: number;
  readonly seed: number;
  /** What was unusual about the prompt, in sentences; missing when nothing was. */
  readonly warnings?: readonly string[];
  readonly logprobs?: readonly TokenLogprob[];
  readonly timings: Timings;
  readonly draft: DraftStatistics;
}

/** What a stream yields, in order: any number of `text`, then one `end`. */
export type StreamEvent =
  | {
      readonly type: 'text';
      /** Complete UTF-8 characters only; may be empty while a character or stop string is pending. */
      readonly text: string;
      readonly tokens: readonly number[];
      /** For each token, whether a drafter had proposed it. */
      readonly drafted: readonly boolean[];
    }
  | { readonly type: 'end'; readonly generation: Generation };

export interface ChatMessage {
  readonly role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  readonly content: string;
  /** Anything else that the model's chat template reads (tool_calls, name, ...). */
  readonly [field: string]: unknown;
}

export interface ChatOptions extends GenerateOptions {
  /** JSON schemas of the tools that the template may offer to the model. */
  readonly tools?: readonly Readonly<Record<string, unknown>>[];
  /** For templates that know it: whether the model may think first. */
  readonly thinking?: boolean;
  /** Further variables for the chat template. */
  readonly templateVariables?: Readonly<Record<string, unknown>>;
}

/** Settings that a model's file may recommend. */
export type SamplingSetting =
  | 'temperature'
  | 'topK'
  | 'topP'
  | 'minP'
  | 'repetitionPenalty'
  | 'penaltyWindow';

export interface ModelInfo {
  readonly path: string;
  readonly name: string | undefined;
  readonly architecture: string;
  readonly parameters: number;
  readonly vocabularySize: number;
  /** What the model was trained for, in tokens. */
  readonly trainedContextLength: number;
  readonly contextLength: number;
  readonly weightBytes: number;
  /** Element type of the KV cache. */
  readonly kvType: KvType;
  /** Bytes of KV cache for one token of context. */
  readonly kvBytesPerToken: number;
  /** Drafters with weights: bytes of these, and bytes for each session, however long its context. */
  readonly drafters: readonly {
    readonly name: 'mtp' | 'dflash';
    readonly weightBytes: number;
    readonly stateBytes: number;
  }[];
  readonly threads: number;
  /** What computes: `native avx512 + CPU (ggml zen4)`, or ggml's library alone. */
  readonly kernels: string;
  /** What the model's makers recommend; it is used under what a caller gives. */
  readonly recommendedSampling: Readonly<Partial<Record<SamplingSetting, number>>>;
  /** What is unusual about the model as it is loaded, in sentences. */
  readonly warnings: readonly string[];
  readonly hasChatTemplate: boolean;
  /** Whether the file says that the model continues text (`general.finetune` is `base`). */
  readonly isBaseModel: boolean;
  readonly loadMs: number;
}
