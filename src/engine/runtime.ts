/**
 * What the sessions of one loaded model share: the model, its tokenizer and the scheduler of its
 * passes. Owns all memory of the model, that of texts included, and frees it when nothing computes.
 */
import { PacelineError } from '../base/errors.js';
import { LayeredState } from '../cache/layered-state.js';
import type { SequenceState } from '../cache/state.js';
import { DraftExperience } from '../decode/draft-record.js';
import type { Accelerator } from '../ggml/accelerator.js';
import type { Backend } from '../ggml/backend.js';
import { hostMemory } from '../ggml/host.js';
import type { ExpertCache } from '../ggml/native/expert-cache.js';
import type { ExpertStatistics } from '../ggml/native/expert-statistics.js';
import type { GgmlType } from '../ggml/types.js';
import type { GgufFile } from '../gguf/reader.js';
import type { RecommendedSampling } from '../gguf/sampling.js';
import { requireText } from '../models/head.js';
import type { LanguageModel } from '../models/model.js';
import type { ChatTemplate } from '../tokenizer/chat-template.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { Constraints } from './constraints.js';
import type { LoadedDrafter } from './draft-models.js';
import { keepUses } from './expert-uses.js';
import type { PassOutcome } from './job.js';
import { PassCosts } from './pass-costs.js';
import { PassLog } from './pass-log.js';
import { PassRunner } from './pass-runner.js';
import type { Rounding } from './rounding.js';
import { RowsJob, type RowsOptions } from './rows-job.js';
import { Scheduler } from './scheduler.js';
import { Text, type TextOptions } from './text.js';
import type { TextCache } from './text-cache.js';
import { TextJob, type TextJobOptions } from './text-job.js';

export interface RuntimeOptions {
  /** The model's file, where weights are read from it when they are needed; owned from now on. */
  readonly file?: GgufFile | undefined;
  readonly backend: Backend;
  /** Owned by the runtime from now on. */
  readonly drafters: readonly LoadedDrafter[];
  readonly model: LanguageModel;
  /** The model's experts that stay in the file, and where their uses are remembered. */
  readonly experts?: { readonly cache: ExpertCache; readonly uses: string | undefined } | undefined;
  /** The card that each layer's rows are on, one entry a layer; default: the host. */
  readonly places?: readonly (Accelerator | undefined)[] | undefined;
  /** Names the weights and whatever else decides the bytes of the state. */
  readonly identity: string;
  readonly tokenizer: Tokenizer;
  readonly chatTemplate: ChatTemplate;
  /** What the model's file recommends. */
  readonly sampling: RecommendedSampling;
  readonly contextLength: number;
  /** The file's words around `{query}` and `{document}`, where it ranks texts and has some. */
  readonly rankTemplate?: string | undefined;
  readonly prefillChunk: number;
  readonly kvType: GgmlType;
  readonly mostRunning?: number | undefined;
  readonly mostWaiting?: number | undefined;
}

/** Memory that is left to everybody else. */
const margin = 64 * 2 ** 20;

/** @throws {PacelineError} `memory` where the system would have to take it from others. */
function admitMemory(bytes: number): void {
  const { available } = hostMemory();
  if (bytes + margin <= available) return;
  const mebibytes = (count: number) => Math.ceil(count / 2 ** 20);
  const problem = `A text needs ${mebibytes(bytes)} MiB more for its context`;
  throw new PacelineError(
    'memory',
    `${problem}, but only ${mebibytes(available)} MiB are available`,
    {
      hint: 'Dispose of sessions that are no longer needed, or generate fewer texts at once.',
      details: { bytes, available },
    },
  );
}

export class Runtime {
  readonly backend: Backend;
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  readonly chatTemplate: ChatTemplate;
  readonly sampling: RecommendedSampling;
  readonly prefillChunk: number;
  /** Most tokens of a text. */
  readonly contextLength: number;
  readonly rankTemplate: string | undefined;
  readonly constraints: Constraints;
  readonly scheduler: Scheduler;
  readonly runner: PassRunner;
  /** What the scheduler has run lately. */
  readonly passLog = new PassLog();
  /** What can draft for this model. */
  readonly drafterSources: readonly LoadedDrafter[];
  /** What drafting costs and gains, learnt by all sessions together. */
  readonly draftExperience = new DraftExperience();
  /** Where choices must not depend on what is computed together: how far logits do. */
  rounding: Rounding | undefined;
  /** Where prefixes are kept; undefined: only in sessions. */
  cache: TextCache | undefined;
  readonly #options: RuntimeOptions;
  readonly #texts = new Set<Text>();
  #closed = false;

  constructor(options: RuntimeOptions) {
    this.#options = options;
    const { backend, model, mostRunning, mostWaiting } = options;
    this.backend = backend;
    this.model = model;
    this.tokenizer = options.tokenizer;
    this.constraints = new Constraints(options.tokenizer);
    this.chatTemplate = options.chatTemplate;
    this.sampling = options.sampling;
    this.prefillChunk = options.prefillChunk;
    this.contextLength = options.contextLength;
    this.rankTemplate = options.rankTemplate;
    this.drafterSources = options.drafters;
    this.runner = new PassRunner({ model, backend });
    this.scheduler = new Scheduler({
      runner: this.runner,
      costs: new PassCosts(this.draftExperience.passes),
      mostRunning,
      mostWaiting,
      passes: this.passLog,
    });
  }

  /** An empty state for a text of this model. @throws {PacelineError} `memory`, `disposed`. */
  createState(): SequenceState {
    this.checkOpen();
    const { backend, model, contextLength, kvType, identity, places } = this.#options;
    return new LayeredState({
      backend,
      layers: model.layerStates(),
      capacity: contextLength,
      type: kvType,
      places,
      identity,
      admit: admitMemory,
    });
  }

  /**
   * An empty text, with a state of its own and all drafters unless others are given.
   * @throws {PacelineError} `memory`, `disposed`; `platform` for a model that continues no texts.
   */
  createText(options: Partial<TextOptions> = {}): Text {
    requireText(this.model);
    const { drafterSources = this.drafterSources } = options;
    return this.#adopt(new Text({ state: options.state ?? this.createState(), drafterSources }));
  }

  /** An empty text that is only read. @throws {PacelineError} `memory`, `disposed`. */
  createInput(): Text {
    return this.#adopt(new Text({ state: this.createState(), drafterSources: [] }));
  }

  /** A copy of a text. @throws {PacelineError} `memory`, `disposed`. */
  fork(text: Text): Text {
    this.checkOpen();
    return this.#adopt(text.fork());
  }

  /** Frees a text; no job may have it any more. */
  release(text: Text): void {
    if (this.#texts.delete(text)) text.dispose();
  }

  /** Generates; the job tells what. @throws {PacelineError} `disposed`, `busy`. */
  generate(options: TextJobOptions): TextJob {
    const job = new TextJob(options);
    this.scheduler.submit(job);
    return job;
  }

  /**
   * Computes tokens behind what the text has.
   * @throws {PacelineError} `context-overflow`, `aborted`, `memory`, `disposed`, `busy`.
   */
  async run(
    text: Text,
    tokens: readonly number[],
    options: RowsOptions = {},
  ): Promise<PassOutcome> {
    const job = new RowsJob(text, tokens, options);
    this.scheduler.submit(job);
    return job.result;
  }

  /** Computes tokens in passes of `prefillChunk`; the last pass's rows. @throws as `run`. */
  async prefill(
    text: Text,
    tokens: readonly number[],
    options: RowsOptions & { readonly chunk?: number } = {},
  ): Promise<PassOutcome> {
    const { chunk = this.prefillChunk, ...rest } = options;
    for (let start = 0; ; start += chunk) {
      const rows = await this.run(text, tokens.slice(start, start + chunk), rest);
      if (start + chunk >= tokens.length) return rows;
    }
  }

  /** A conversation's prompt, in the tokens that are known of its text (`TextCache.exactTokens`). */
  exactTokens(prompt: readonly number[]): readonly number[] {
    return this.cache?.exactTokens(prompt) ?? prompt;
  }

  /** All texts in memory. */
  get texts(): Iterable<Text> {
    return this.#texts;
  }

  /** What the experts that stay in the file have been read for; undefined where there are none. */
  get experts(): ExpertStatistics | undefined {
    return this.#options.experts?.cache.statistics;
  }

  /** Whether the model has been disposed of. */
  get closed(): boolean {
    return this.#closed;
  }

  /** @throws {PacelineError} `disposed` once the model has been disposed of. */
  checkOpen(): void {
    if (!this.#closed) return;
    throw new PacelineError('disposed', 'The model has been disposed of', {
      hint: 'Load it again with `loadModel`, or dispose of it later.',
    });
  }

  #adopt(text: Text): Text {
    this.#texts.add(text);
    return text;
  }

  /** Ends what runs, refuses anything new, waits for the device, and frees everything. */
  async dispose(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.scheduler.close();
    await Promise.allSettled([...this.#texts].map(({ state }) => state.pending));
    await this.cache?.close();
    for (const text of this.#texts) text.dispose();
    this.#texts.clear();
    const { backend, model, file, experts } = this.#options;
    // What cannot be remembered is found out again.
    if (experts?.uses !== undefined) await keepUses(experts.cache, experts.uses).catch(() => {});
    for (const drafter of this.drafterSources) drafter[Symbol.dispose]?.();
    model.dispose();
    backend.dispose();
    await file?.close();
  }
}
