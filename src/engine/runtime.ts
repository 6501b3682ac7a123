/**
 * What the sessions of one loaded model share: the model, its tokenizer and its passes. Owns all
 * memory of the model, sequences included, and frees it when the passes in flight have ended.
 */
import { KvCache } from '../cache/kv-cache.js';
import { DraftExperience } from '../decode/draft-record.js';
import type { Backend } from '../ggml/backend.js';
import type { GgmlType } from '../ggml/types.js';
import type { LanguageModel } from '../models/model.js';
import type { ChatTemplate } from '../tokenizer/chat-template.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { Batcher } from './batcher.js';
import type { LoadedDrafter } from './draft-models.js';
import { Sequence } from './sequence.js';

export interface RuntimeOptions {
  readonly backend: Backend;
  /** Owned by the runtime from now on. */
  readonly drafters: readonly LoadedDrafter[];
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  readonly chatTemplate: ChatTemplate;
  readonly contextLength: number;
  readonly prefillChunk: number;
  readonly kvType: GgmlType;
}

/** Decode steps that may ride along with a prefill chunk. */
const decodeRoom = 64;

export class Runtime {
  readonly backend: Backend;
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  readonly chatTemplate: ChatTemplate;
  readonly prefillChunk: number;
  readonly batcher: Batcher;
  /** What can draft for this model. */
  readonly drafterSources: readonly LoadedDrafter[];
  /** What drafting costs and gains, learnt by all sessions together. */
  readonly draftExperience = new DraftExperience();
  readonly #options: RuntimeOptions;
  readonly #sequences = new Set<Sequence>();

  constructor(options: RuntimeOptions) {
    this.#options = options;
    this.backend = options.backend;
    this.model = options.model;
    this.tokenizer = options.tokenizer;
    this.chatTemplate = options.chatTemplate;
    this.prefillChunk = options.prefillChunk;
    this.drafterSources = options.drafters;
    this.batcher = new Batcher({
      model: options.model,
      backend: options.backend,
      tokenLimit: options.prefillChunk + decodeRoom,
    });
  }

  /** An empty sequence with a KV cache of its own. @throws {PacelineError} `memory`. */
  createSequence(): Sequence {
    const { backend, model, contextLength, kvType } = this.#options;
    const cache = new KvCache({
      backend,
      layout: model.cacheLayout(),
      capacity: contextLength,
      type: kvType,
    });
    return this.#adopt(new Sequence(this.batcher, cache));
  }

  /** A copy of a sequence. @throws {PacelineError} `memory`. */
  fork(sequence: Sequence): Sequence {
    return this.#adopt(sequence.fork());
  }

  /** Frees a sequence; nothing may be in flight for it. */
  release(sequence: Sequence): void {
    if (!this.#sequences.delete(sequence)) return;
    this.batcher.forget(sequence.cache);
    sequence.dispose();
  }

  #adopt(sequence: Sequence): Sequence {
    this.#sequences.add(sequence);
    return sequence;
  }

  /** Refuses new passes, waits for those in flight, and frees everything. */
  async dispose(): Promise<void> {
    await this.batcher.close();
    for (const sequence of this.#sequences) sequence.dispose();
    const { backend, model } = this.#options;
    for (const drafter of this.drafterSources) drafter[Symbol.dispose]?.();
    model.dispose();
    backend.dispose();
  }
}
