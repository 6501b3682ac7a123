/**
 * A conversation with a model: its KV cache stays between calls, so a prompt that begins with what
 * the session has already seen computes only the rest. One generation at a time.
 */
import { PacelineError } from '../base/errors.js';
import type { Drafter } from '../decode/drafter.js';
import { Drafting } from '../decode/drafting.js';
import { resolveSampling } from '../decode/settings.js';
import { Finish } from '../decode/stop.js';
import { encodeChat } from '../tokenizer/chat.js';
import { StreamingDetokenizer } from '../tokenizer/detokenizer.js';
import { generate } from './generation.js';
import type { Runtime } from './runtime.js';
import type { Sequence } from './sequence.js';
import type {
  ChatMessage,
  ChatOptions,
  GenerateOptions,
  Generation,
  StreamEvent,
} from './types.js';

/** A prompt as text (special tokens such as `<|im_end|>` are recognised) or as token ids. */
export type Prompt = string | readonly number[];

export class Session implements Disposable {
  readonly #runtime: Runtime;
  readonly #sequence: Sequence;
  #drafters: readonly Drafter[] | undefined;
  #busy = false;
  #disposed = false;

  /** Use `Model.createSession`. */
  constructor(runtime: Runtime, sequence: Sequence, drafters?: readonly Drafter[]) {
    this.#runtime = runtime;
    this.#sequence = sequence;
    this.#drafters = drafters;
  }

  /** The tokens whose KV rows the session holds. */
  get tokens(): readonly number[] {
    return this.#sequence.tokens;
  }

  /** True while a generation runs. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Continues the prompt and returns when the text has ended. */
  async generate(prompt: Prompt, options: GenerateOptions = {}): Promise<Generation> {
    return finished(this.stream(prompt, options));
  }

  /**
   * Continues the prompt, piece by piece. Leaving the loop early stops the generation.
   * @throws {PacelineError} `usage`, `context-overflow`, `memory`, `disposed`.
   */
  stream(prompt: Prompt, options: GenerateOptions = {}): AsyncGenerator<StreamEvent, void> {
    return this.#stream(() => this.#encode(prompt), options);
  }

  /** Answers the last message of a conversation, in the format of the model's chat template. */
  async chat(messages: readonly ChatMessage[], options: ChatOptions = {}): Promise<Generation> {
    return finished(this.streamChat(messages, options));
  }

  /** `chat`, piece by piece. */
  streamChat(
    messages: readonly ChatMessage[],
    options: ChatOptions = {},
  ): AsyncGenerator<StreamEvent, void> {
    const { tokenizer, chatTemplate } = this.#runtime;
    const { tools, thinking, templateVariables } = options;
    return this.#stream(
      () =>
        encodeChat(tokenizer, chatTemplate, messages, {
          ...(tools ? { tools } : {}),
          ...(thinking === undefined ? {} : { thinking }),
          ...(templateVariables ? { variables: templateVariables } : {}),
        }),
      options,
    );
  }

  /** A second session that has seen the same tokens. @throws {PacelineError} `memory`. */
  fork(): Session {
    this.#check();
    const sequence = this.#runtime.fork(this.#sequence);
    const target = { state: sequence.cache };
    const drafters = this.#drafters?.map((drafter) => drafter.fork(target));
    return new Session(this.#runtime, sequence, drafters);
  }

  /** Forgets the tokens from `length` on. @throws {PacelineError} `usage` beyond the end. */
  truncate(length: number): void {
    this.#check();
    this.#sequence.truncate(length);
  }

  dispose(): void {
    if (this.#disposed) return;
    if (this.#busy) throw busy('disposed of');
    this.#disposed = true;
    for (const drafter of this.#drafters ?? []) drafter.dispose();
    this.#runtime.release(this.#sequence);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async *#stream(
    encode: () => readonly number[],
    options: GenerateOptions,
  ): AsyncGenerator<StreamEvent, void> {
    this.#check();
    const { tokenizer, model, prefillChunk } = this.#runtime;
    const settings = resolveSampling(options, {
      vocabularySize: model.hyperparameters.vocabSize,
    });
    const prompt = encode();
    const detokenizer = new StreamingDetokenizer(tokenizer);
    const finish = new Finish({
      endTokens: tokenizer.vocabulary.endOfGeneration,
      maxTokens: options.maxTokens ?? Number.POSITIVE_INFINITY,
      stop: typeof options.stop === 'string' ? [options.stop] : (options.stop ?? []),
      toText: (token) => detokenizer.push(token),
      flushText: () => detokenizer.flush(),
    });
    const draftKind = options.draft ?? 'auto';
    const drafting = new Drafting({
      drafters: this.#openDrafters(),
      mode: draftKind,
      draftMax: options.draftMax,
      experience: this.#runtime.draftExperience,
    });
    this.#busy = true;
    try {
      yield* generate({
        sequence: this.#sequence,
        prompt,
        settings,
        finish,
        drafting,
        draftKind,
        prefillChunk,
        onProgress: options.onProgress,
        signal: options.signal,
      });
    } finally {
      this.#busy = false;
    }
  }

  /** The drafters follow the session from its first use of them on. */
  #openDrafters(): readonly Drafter[] {
    const target = { state: this.#sequence.cache };
    this.#drafters ??= this.#runtime.drafterSources.map((source) => source.open(target));
    return this.#drafters;
  }

  #encode(prompt: Prompt): readonly number[] {
    const { tokenizer, model } = this.#runtime;
    const tokens =
      typeof prompt === 'string' ? tokenizer.encode(prompt, { parseSpecial: true }) : prompt;
    const { vocabSize } = model.hyperparameters;
    for (const token of tokens) {
      if (Number.isInteger(token) && token >= 0 && token < vocabSize) continue;
      throw new PacelineError('usage', `The prompt has ${token}, which is no token of this model`, {
        hint: `Token ids are whole numbers from 0 to ${vocabSize - 1}.`,
      });
    }
    if (tokens.length > 0) return tokens;
    const start = tokenizer.bosId ?? tokenizer.eosId;
    if (start !== undefined) return [start];
    throw new PacelineError(
      'usage',
      'The prompt is empty, and the model has no token to begin with',
    );
  }

  #check(): void {
    if (this.#disposed) throw new PacelineError('disposed', 'The session has been disposed of');
    if (this.#busy) throw busy('used again');
  }
}

function busy(what: string): PacelineError {
  return new PacelineError('usage', `A session can't be ${what} while it generates`, {
    hint: 'Wait for the generation to end, or use one session for each.',
  });
}

/** Reads a stream to its end. */
export async function finished(stream: AsyncIterable<StreamEvent>): Promise<Generation> {
  for await (const event of stream) if (event.type === 'end') return event.generation;
  throw new PacelineError('internal', 'A stream ended without a result');
}
