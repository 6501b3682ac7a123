/**
 * A conversation with a model: its state stays between calls, so a prompt that begins with what the
 * session has already seen computes only the rest. One generation at a time.
 */
import { PacelineError } from '../base/errors.js';
import { show, wrongOption } from '../base/options.js';
import type { CompiledConstraint } from '../constraint/compile.js';
import type { Constraint } from '../constraint/constraint.js';
import { Drafting } from '../decode/drafting.js';
import { resolveSampling, withRecommended } from '../decode/settings.js';
import { Finish } from '../decode/stop.js';
import { RawJson } from '../template/raw-json.js';
import { encodeChat } from '../tokenizer/chat.js';
import { StreamingDetokenizer } from '../tokenizer/detokenizer.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { messageEnds } from './boundaries.js';
import { checkMessages } from './messages.js';
import { type Checked, checkChatOptions, checkGenerateOptions } from './options.js';
import type { Runtime } from './runtime.js';
import type { Text } from './text.js';
import { TextJob } from './text-job.js';
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
  readonly #text: Text;
  #job: TextJob | undefined;
  /** A generation is being prepared. */
  #starting = false;
  #disposed = false;

  /** @internal Use `Model.createSession`. */
  constructor(runtime: Runtime, text: Text) {
    this.#runtime = runtime;
    this.#text = text;
  }

  /** The tokens that the session's state holds. */
  get tokens(): readonly number[] {
    return this.#text.tokens;
  }

  /** True while a generation runs. */
  get busy(): boolean {
    return this.#starting || this.#job !== undefined;
  }

  /** Continues the prompt and returns when the text has ended. */
  async generate(prompt: Prompt, options: GenerateOptions = {}): Promise<Generation> {
    return finished(this.stream(prompt, options));
  }

  /**
   * Continues the prompt, piece by piece. Leaving the loop early stops the generation, and so does
   * dropping the stream; a reader that takes its time makes only this text wait.
   * @throws {PacelineError} `usage`, `context-overflow`, `memory`, `busy`, `disposed`.
   */
  stream(prompt: Prompt, options: GenerateOptions = {}): AsyncGenerator<StreamEvent, void> {
    return this.#stream(
      () => {
        const { tokens, warnings } = this.#encode(prompt);
        return { prompt: tokens, preceding: tokens, warnings };
      },
      () => checkGenerateOptions(options),
    );
  }

  /** Answers the last message of a conversation, in the format of the model's chat template. */
  async chat(
    messages: readonly ChatMessage[] | RawJson,
    options: ChatOptions = {},
  ): Promise<Generation> {
    return finished(this.streamChat(messages, options));
  }

  /** `chat`, piece by piece. */
  streamChat(
    messages: readonly ChatMessage[] | RawJson,
    options: ChatOptions = {},
  ): AsyncGenerator<StreamEvent, void> {
    return this.#stream(
      () => ({
        prompt: this.#encodeChat(messages, checkChatOptions(options)),
        preceding: [],
        warnings: [],
      }),
      () => checkChatOptions(options),
    );
  }

  /** A second session that has seen the same tokens. @throws {PacelineError} `memory`, `disposed`. */
  fork(): Session {
    this.#check();
    return new Session(this.#runtime, this.#runtime.fork(this.#text));
  }

  /**
   * Forgets the tokens from `length` on; where the model's state cannot go back that far, some more,
   * as `tokens` then says. @throws {PacelineError} `usage` beyond the end, `disposed`.
   */
  truncate(length: number): void {
    this.#check();
    this.#text.truncate(length);
    this.#text.state.trim();
  }

  /** Frees the session's memory. A generation that runs ends first, with the reason `abort`. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    // What is being prepared ends at once, and frees the memory then.
    if (this.#job === undefined && !this.#starting) this.#free();
    this.#job?.abort();
    void this.#job?.ended.then(() => this.#free());
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #free(): void {
    this.#runtime.release(this.#text);
  }

  #stream(
    encode: () => Encoded,
    options: () => Checked<GenerateOptions>,
  ): AsyncGenerator<StreamEvent, void> {
    const started: Started = { job: undefined };
    const stream = this.#events(encode, options, started);
    // A stream that nobody holds any more cannot be read on: its text must not wait for that.
    dropped.register(stream, started);
    return stream;
  }

  async *#events(
    encode: () => Encoded,
    options: () => Checked<GenerateOptions>,
    started: Started,
  ): AsyncGenerator<StreamEvent, void> {
    this.#check();
    this.#starting = true;
    let job: TextJob;
    try {
      const given = options();
      const encoded = encode();
      const constraint = await this.#compile(given);
      job = this.#start(encoded, given, constraint);
    } finally {
      this.#starting = false;
      if (this.#disposed) this.#free();
    }
    this.#job = job;
    started.job = job;
    void job.ended.then(() => {
      this.#job = undefined;
    });
    try {
      for (;;) {
        const event = await job.next();
        if (event === undefined) return;
        yield event;
      }
    } finally {
      job.abort();
      await job.ended;
    }
  }

  /** The constraint that was asked for. */
  async #compile(options: Checked<GenerateOptions>): Promise<CompiledConstraint | undefined> {
    const { constraint, reasoning, signal } = options;
    if (constraint !== undefined) {
      try {
        return await this.#runtime.constraints.compile(constraint, { reasoning, signal });
      } catch (error) {
        // The text then ends with the reason `abort`, as later, and needs no constraint any more.
        if (signal?.aborted && PacelineError.is(error) && error.code === 'aborted')
          return undefined;
        throw error;
      }
    }
    if (reasoning === undefined) return undefined;
    throw new PacelineError('usage', 'Option reasoning needs a constraint to come before', {
      hint: 'Give a constraint, or leave out reasoning.',
      details: { field: 'reasoning' },
    });
  }

  #start(
    { prompt, preceding, warnings }: Encoded,
    options: Checked<GenerateOptions>,
    constraint: CompiledConstraint | undefined,
  ): TextJob {
    const { tokenizer, model, prefillChunk, draftExperience } = this.#runtime;
    const { constrainedTokens = 0 } = options;
    if (constrainedTokens > 0 && options.constraint === undefined) {
      throw wrongOption('constrainedTokens', '0 without a constraint', constrainedTokens);
    }
    if (constrainedTokens > prompt.length) {
      const say = `at most ${prompt.length}, the tokens of the prompt`;
      throw wrongOption('constrainedTokens', say, constrainedTokens);
    }
    const settings = resolveSampling(withRecommended(options, this.#runtime.sampling), {
      vocabularySize: model.hyperparameters.vocabSize,
    });
    const detokenizer = new StreamingDetokenizer(tokenizer, preceding, {
      unparseSpecial: options.controlText ?? false,
    });
    const finish = new Finish({
      endTokens: tokenizer.vocabulary.endOfGeneration,
      maxTokens: options.maxTokens ?? Number.POSITIVE_INFINITY,
      stop: typeof options.stop === 'string' ? [options.stop] : (options.stop ?? []),
      toText: (token) => detokenizer.push(token),
      flushText: () => detokenizer.flush(),
    });
    // Disposed of while it was prepared: it ends as texts do that run then, without having begun.
    const over = this.#disposed || this.#runtime.closed;
    const draftKind = over ? 'none' : (options.draft ?? 'auto');
    const drafting = new Drafting({
      drafters: draftKind === 'none' ? [] : this.#text.drafters,
      mode: draftKind,
      draftMax: options.draftMax,
      experience: draftExperience,
    });
    const job = new TextJob({
      text: this.#text,
      cache: options.cache === false ? undefined : this.#runtime.cache,
      prompt,
      messageEnds: messageEnds(prompt, (token) => tokenizer.isControl(token)),
      settings,
      finish,
      drafting,
      draftKind,
      rounding: this.#runtime.rounding,
      prefillChunk,
      priority: options.priority,
      constraint: begin(constraint, prompt.slice(prompt.length - constrainedTokens)),
      warnings: [
        ...warnings,
        ...(constraint?.warnings ?? []).map(({ pointer, message }) => `${pointer}: ${message}`),
      ],
      spell: (token) => spell(tokenizer, token),
      onProgress: options.onProgress,
      signal: options.signal,
    });
    if (over) job.fail(new PacelineError('aborted', 'The text has been disposed of'));
    else this.#runtime.scheduler.submit(job);
    return job;
  }

  #encodeChat(
    messages: readonly ChatMessage[] | RawJson,
    options: Checked<ChatOptions>,
  ): readonly number[] {
    const { tokenizer, chatTemplate } = this.#runtime;
    const { tools, thinking, templateVariables } = options;
    checkMessages(messages instanceof RawJson ? messages.plain('messages') : messages);
    const prompt = encodeChat(tokenizer, chatTemplate, messages, {
      ...(tools ? { tools } : {}),
      ...(thinking === undefined ? {} : { thinking }),
      ...(templateVariables ? { variables: templateVariables } : {}),
    });
    return options.cache === false ? prompt : this.#runtime.exactTokens(prompt);
  }

  #encode(prompt: Prompt): Pick<Encoded, 'warnings'> & { readonly tokens: readonly number[] } {
    const { tokenizer, model } = this.#runtime;
    const encoded =
      typeof prompt === 'string'
        ? tokenizer.encodePrompt(prompt)
        : { tokens: prompt, warnings: [] };
    const { tokens } = encoded;
    const { vocabSize } = model.hyperparameters;
    if (!Array.isArray(tokens) && !ArrayBuffer.isView(tokens)) {
      throw new PacelineError(
        'usage',
        `The prompt must be text or token ids, not ${show(prompt)}`,
        {
          hint: 'Give a string, or an array of whole numbers.',
        },
      );
    }
    for (const token of tokens) {
      if (Number.isInteger(token) && token >= 0 && token < vocabSize) continue;
      throw new PacelineError(
        'usage',
        `The prompt has ${show(token)}, which is no token of this model`,
        {
          hint: `Token ids are whole numbers from 0 to ${vocabSize - 1}.`,
        },
      );
    }
    if (tokens.length > 0) return encoded;
    const start = tokenizer.bosId ?? tokenizer.eosId;
    if (start !== undefined) return { tokens: [start], warnings: [] };
    throw new PacelineError(
      'usage',
      'The prompt is empty, and the model has no token to begin with',
    );
  }

  #check(): void {
    this.#runtime.checkOpen();
    if (this.#disposed) {
      throw new PacelineError('disposed', 'The session has been disposed of', {
        hint: 'Create another one with `model.createSession()`.',
      });
    }
    if (!this.busy) return;
    throw new PacelineError('usage', `A session can't be used again while it generates`, {
      hint: 'Wait for the generation to end, or use one session for each.',
    });
  }
}

/** The constraint of a text that has said these tokens already. */
function begin(
  compiled: CompiledConstraint | undefined,
  said: readonly number[],
): Constraint | undefined {
  const constraint = compiled?.start();
  for (const token of said) {
    if (constraint === undefined || constraint.allows(token)) constraint?.accept(token);
    else throw wrongOption('constrainedTokens', 'tokens that the constraint allows', said.length);
  }
  return constraint;
}

function spell(tokenizer: Tokenizer, token: number): { text: string; bytes: Uint8Array } {
  const bytes = tokenizer.isControl(token) ? new Uint8Array() : tokenizer.tokenBytes(token).slice();
  return { text: new TextDecoder().decode(bytes), bytes };
}

/** A prompt as tokens. */
interface Encoded {
  readonly prompt: readonly number[];
  /**
   * What the text goes on from, so that the space before its first word stays; nothing before an
   * answer, which is a text of its own.
   */
  readonly preceding: readonly number[];
  /** What was unusual about the prompt, in sentences. */
  readonly warnings: readonly string[];
}

interface Started {
  job: TextJob | undefined;
}

const dropped = new FinalizationRegistry<Started>(({ job }) => job?.abort());

/** Reads a stream to its end. */
export async function finished(stream: AsyncIterable<StreamEvent>): Promise<Generation> {
  for await (const event of stream) if (event.type === 'end') return event.generation;
  throw new PacelineError('internal', 'A stream ended without a result');
}
