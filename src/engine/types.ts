/**
 * The words of the public API: what a caller passes in and gets back. Types only.
 */

import type { OnProgress } from '../base/progress.js';
import type { KvType } from '../cache/kv-names.js';
import type { ConstraintSpec, ReasoningSection } from '../constraint/spec.js';
import type { DraftReport } from '../decode/draft-report.js';
import type { RawJson } from '../template/raw-json.js';

export type { OnProgress, Progress } from '../base/progress.js';
export type { KvType } from '../cache/kv-names.js';
export type {
  ConstraintSpec,
  ReasoningSection,
  Tool,
  ToolChoice,
  ToolFormatName,
  ToolsSpec,
} from '../constraint/spec.js';
export type { ExpertStatistics } from '../ggml/native/expert-statistics.js';
export type { RawJson } from '../template/raw-json.js';

/**
 * What is needed of an `AbortSignal`. Declared here, so that these types need neither the DOM's nor
 * Node's; every real one fits.
 */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(
    type: 'abort',
    listener: () => void,
    options?: { readonly once?: boolean },
  ): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** Which drafter may propose tokens; it never changes the text. */
export type DraftKind = 'auto' | 'none' | 'ngram' | 'mtp' | 'dflash';

export interface LoadOptions {
  /** Threads that compute, 1 or more; default: the physical cores that this process may use. */
  readonly threads?: number | undefined;
  /** Longest context of a session in tokens, 1 or more; default: the model's own, at most 8192. */
  readonly contextLength?: number | undefined;
  /**
   * Element type of the KV cache; default: `i16` with AVX-512 VNNI where the heads fit,
   * otherwise `f16`. Decides the bytes of logits.
   */
  readonly kvType?: KvType | undefined;
  /**
   * What computes: `auto` takes the best graphics card that is installed and fits, otherwise the CPU;
   * `cpu`; or names of cards as `listDevices` has them, with commas between. Default `auto`. Text for
   * a seed may differ between devices.
   */
  readonly device?: string | undefined;
  /** Layers on cards, the last ones, 0 or more; default `auto`: as many as fit. */
  readonly gpuLayers?: number | 'auto' | undefined;
  /** Layers whose experts stay with the CPU, the first ones, or true: all. Default: none. */
  readonly cpuMoe?: number | boolean | undefined;
  /**
   * Bytes for a mixture's experts, which then stay in the file and are read when a text needs them: the
   * cache of those that are used most. Never changes the text. Default `auto`: all experts in memory if
   * the model fits, otherwise as many as there is memory for.
   */
  readonly expertMemory?: number | 'auto' | undefined;
  /**
   * True: drafts are checked so that the text is that of single steps also on cards, where logits depend
   * on what is computed together: a choice that such rounding could change is made again from a row
   * that is computed alone. How far logits are off is measured when the model is loaded. On the CPU
   * texts never depend on it. Default: false.
   */
  readonly exact?: boolean | undefined;
  /**
   * A file of `paceline experts select`: only its experts are loaded, as if the router's logits of the
   * others were minus infinity. Default: all.
   */
  readonly experts?: string | undefined;
  /**
   * `everywhere`: logits have the same bytes on every x64 and arm64 machine, on a path without the
   * processor's own instructions, several times slower. Models for which that does not hold are
   * refused (`usage`), and so are others beside one in the same process. Default: the fastest path.
   */
  readonly reproducible?: 'everywhere' | undefined;
  /** GGUF files of drafters; default: those that come with the embedded model. */
  readonly draftModels?: readonly string[] | undefined;
  /**
   * Positions that drafters with a cache of their own look back on, which bounds their memory, 1 or
   * more; default 512. Never changes the text.
   */
  readonly draftWindow?: number | undefined;
  /** Most prompt tokens of a pass, 1 or more; default 512. Never changes the text. */
  readonly prefillChunk?: number | undefined;
  /**
   * Keeps the KV cache of prompts and texts on the disk, and finds it there: for ever, not only in a
   * session. `true` takes the usual folder. Default: off.
   */
  readonly cache?: boolean | CacheOptions | undefined;
  /** Texts that are generated at the same time, 1 or more; more of them wait. Default 64. */
  readonly maxRunning?: number | undefined;
  /** Texts that may wait, 1 or more; one more is refused (`busy`). Default 1024. */
  readonly maxWaiting?: number | undefined;
  /** Called while the model loads; default: nobody is told. */
  readonly onProgress?: OnProgress | undefined;
  /** Ends the loading with the error `aborted`; default: none. */
  readonly signal?: AbortSignalLike | undefined;
}

/** Where and how the KV cache is kept on the disk. */
export interface CacheOptions {
  /** Default: `kv` in the user's cache folder (`$XDG_CACHE_HOME/paceline/kv`). */
  readonly folder?: string | undefined;
  /** Most bytes on the disk; default: a tenth of what is free there, at most 20 GB. */
  readonly budget?: number | undefined;
  /** Tokens of a block, a multiple of 64; default 256. */
  readonly blockTokens?: number | undefined;
  /** Hears of broken files and full disks; default: a warning of the process. */
  readonly onWarning?: ((text: string) => void) | undefined;
}

/** Settings of one generation; what a model's file recommends comes before these defaults. */
export interface GenerateOptions {
  /** Most tokens to generate, 0 or more; default: until the model ends or the context is full. */
  readonly maxTokens?: number | undefined;
  /** Divides the logits, 0 or more; 0 is greedy; default 0.8. */
  readonly temperature?: number | undefined;
  /** Sample from the k likeliest tokens; 0 is off; default 40. */
  readonly topK?: number | undefined;
  /** Sample from the likeliest tokens that reach this probability, 0 to 1; 1 is off; default 0.95. */
  readonly topP?: number | undefined;
  /** Drop tokens below this share of the likeliest one, 0 to 1; 0 is off; default 0.05. */
  readonly minP?: number | undefined;
  /** Makes tokens of the window less likely, above 0; 1 is off; default 1. */
  readonly repetitionPenalty?: number | undefined;
  /** Subtracted from the logits of tokens in the window; 0 is off; default 0. */
  readonly presencePenalty?: number | undefined;
  /** The same, times how often they occur; 0 is off; default 0. */
  readonly frequencyPenalty?: number | undefined;
  /** How many of the last tokens the penalties look at; -1 is all, 0 none; default 64. */
  readonly penaltyWindow?: number | undefined;
  /** Added to the logits, by token id; -Infinity bans a token; default: none. */
  readonly logitBias?: Readonly<Record<number, number>> | ReadonlyMap<number, number> | undefined;
  /**
   * Same seed, same text: a whole number from 0 to 2^53 - 1, or -1 for a random one; default: a
   * random one. The result reports it.
   */
  readonly seed?: number | undefined;
  /** Generation ends before the first of these strings; they are not part of the text. Default: none. */
  readonly stop?: string | readonly string[] | undefined;
  /** How many alternatives to report for each token, 0 to 100; default 0, which reports none. */
  readonly logprobs?: number | undefined;
  /**
   * What the text has to be: JSON of a schema, a regular expression, a grammar, one of several texts,
   * tool calls; holds from the first token on. Default: anything.
   */
  readonly constraint?: ConstraintSpec | undefined;
  /** A section before the constrained text that is free: reasoning. Default: none. */
  readonly reasoning?: ReasoningSection | undefined;
  /** Tokens at the end of the prompt that are part of the constrained text already; default 0. */
  readonly constrainedTokens?: number | undefined;
  /** Write control tokens as their texts instead of leaving them out. Default false. */
  readonly controlText?: boolean | undefined;
  /** Default `auto`: measures what pays. Never changes the text. */
  readonly draft?: DraftKind | undefined;
  /** Most tokens drafted at once, 1 or more; default: the drafter's own limit. */
  readonly draftMax?: number | undefined;
  /** False: neither looks for the prompt among what was kept nor keeps it; see `LoadOptions.cache`. */
  readonly cache?: boolean | undefined;
  /**
   * Texts with more are served first where not all can be at once, and take the place of one with less
   * where the queue is full, which then fails with `busy`; default 0.
   */
  readonly priority?: number | undefined;
  /** Ends the text, with what there is and the reason `abort`; default: none. */
  readonly signal?: AbortSignalLike | undefined;
  /** Called with the progress of the prefill; default: nobody is told. */
  readonly onProgress?: OnProgress | undefined;
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
  /** Looking for what is known of the prompt, and bringing it in. */
  readonly restoreMs: number;
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
  /** With `LoadOptions.exact` on a card: rows that were near a tie and were computed again, alone. */
  readonly rechecked?: number;
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
  /** Prompt tokens whose KV rows were already there, in the session or the kept cache. */
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
      /** What a drafter had proposed for this step, right or wrong; missing where nothing was. */
      readonly proposal?: { readonly drafter: string; readonly tokens: readonly number[] };
      /** For each token, where logprobs were asked for. */
      readonly logprobs?: readonly TokenLogprob[];
    }
  | { readonly type: 'end'; readonly generation: Generation };

export interface ChatMessage {
  readonly role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  readonly content: string;
  /** Anything else that the model's chat template reads (tool_calls, name, ...). */
  readonly [field: string]: unknown;
}

export interface ChatOptions extends GenerateOptions {
  /** JSON schemas of the tools that the template may offer to the model; default: none. */
  readonly tools?: readonly Readonly<Record<string, unknown>>[] | RawJson | undefined;
  /** For templates that know it: whether the model may think first; default: the template's own. */
  readonly thinking?: boolean | undefined;
  /** Further variables for the chat template; default: none. */
  readonly templateVariables?: Readonly<Record<string, unknown>> | undefined;
}

/** How the hidden states of a text become one vector: their mean, the first, or the last. */
export type Pooling = 'mean' | 'cls' | 'last';

export interface EmbedOptions {
  /** How many of a vector's first values are kept, 1 or more; default: all. */
  readonly dimensions?: number | undefined;
  /** Default: as the model's file says, else `last`. */
  readonly pooling?: Pooling | undefined;
  /** Ends the work with the error `aborted`; default: none. */
  readonly signal?: AbortSignalLike | undefined;
  /** Called after each text; default: nobody is told. */
  readonly onProgress?: OnProgress | undefined;
}

export interface Embeddings {
  /** One a text, in their order, each of length 1. */
  readonly vectors: readonly Float32Array[];
  /** Tokens of all texts. */
  readonly tokens: number;
  readonly pooling: Pooling;
}

export interface RankOptions {
  /** Ends the work with the error `aborted`; default: none. */
  readonly signal?: AbortSignalLike | undefined;
  /** Called after each document; default: nobody is told. */
  readonly onProgress?: OnProgress | undefined;
}

/** How well a document answers a query. */
export interface RankedDocument {
  /** Its place among the documents that were given. */
  readonly index: number;
  /** The model's own number, more is better: a logit, or a probability where the model makes one. */
  readonly score: number;
}

export interface Ranking {
  /** All documents, the best first. */
  readonly results: readonly RankedDocument[];
  /** Tokens of all documents, each with the query. */
  readonly tokens: number;
}

/** Settings that a model's file may recommend. */
export type SamplingSetting =
  | 'temperature'
  | 'topK'
  | 'topP'
  | 'minP'
  | 'repetitionPenalty'
  | 'penaltyWindow';

/** A mixture's experts that stay in the file, but for those that a cache holds. */
export interface ExpertMemory {
  /** Bytes of the cache, and what all experts would take. */
  readonly memory: number;
  readonly whole: number;
  /** Experts that the cache can hold, and all of them, layer by layer. */
  readonly held: number;
  readonly count: number;
}

export interface ModelInfo {
  readonly path: string;
  readonly name: string | undefined;
  readonly architecture: string;
  readonly parameters: number;
  readonly vocabularySize: number;
  /** Values of a hidden state, and of the vectors that `embed` makes. */
  readonly embeddingLength: number;
  /** How the file wants vectors pooled; `rank`: it ranks texts; undefined: it does not say. */
  readonly pooling: Pooling | 'rank' | undefined;
  /** What the model was trained for, in tokens. */
  readonly trainedContextLength: number;
  readonly contextLength: number;
  readonly weightBytes: number;
  /** Whether logits are the same bytes however passes are cut and shared with other texts. */
  readonly exact: boolean;
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
  /** What was planned to go where, with bytes, in one line. */
  readonly memoryPlan: string;
  /** Experts that stay in the file; missing where there are none. */
  readonly experts?: ExpertMemory | undefined;
  readonly threads: number;
  /** What computes: `native avx512 + CPU (ggml zen4)`, or ggml's library alone. */
  readonly kernels: string;
  /** What was chosen to compute on, and why; missing where there was nothing to choose from. */
  readonly device?: string | undefined;
  /** What the model's makers recommend; it is used under what a caller gives. */
  readonly recommendedSampling: Readonly<Partial<Record<SamplingSetting, number>>>;
  /** What is unusual about the model as it is loaded, in sentences. */
  readonly warnings: readonly string[];
  /** What it does with texts: continues them, ranks them, or makes vectors of them alone. */
  readonly purpose: 'text' | 'ranking' | 'embeddings';
  readonly hasChatTemplate: boolean;
  /** Whether the file says that the model continues text (`general.finetune` is `base`). */
  readonly isBaseModel: boolean;
  readonly loadMs: number;
}
