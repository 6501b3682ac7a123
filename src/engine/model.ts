/**
 * The public face of a loaded model: one-off generations, sessions, and an orderly end. Weights are
 * loaded once and shared by all sessions.
 */
import type { RawJson } from '../template/raw-json.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { embed } from './embed.js';
import { rank } from './rank.js';
import type { Runtime } from './runtime.js';
import { finished, type Prompt, Session } from './session.js';
import type {
  ChatMessage,
  ChatOptions,
  Embeddings,
  EmbedOptions,
  ExpertStatistics,
  GenerateOptions,
  Generation,
  ModelInfo,
  Ranking,
  RankOptions,
  StreamEvent,
} from './types.js';

export class Model implements AsyncDisposable {
  readonly info: ModelInfo;
  readonly #runtime: Runtime;
  /** The last one-off generation's session: the next one often begins with the same prompt. */
  #idle: Session | undefined;
  #disposed: Promise<void> | undefined;

  /** @internal Use `loadModel`. */
  constructor(runtime: Runtime, info: ModelInfo) {
    this.#runtime = runtime;
    this.info = info;
  }

  get tokenizer(): Tokenizer {
    return this.#runtime.tokenizer;
  }

  /** What has been read of experts that stay in the file (`LoadOptions.expertMemory`) so far. */
  get experts(): ExpertStatistics | undefined {
    return this.#runtime.experts;
  }

  /** @internal What everything below the public API works with; for benchmarks and checks. */
  get runtime(): Runtime {
    return this.#runtime;
  }

  /** An empty session. Dispose of it when its KV cache is no longer needed. */
  createSession(): Session {
    return new Session(this.#runtime, this.#runtime.createText());
  }

  /** Continues the prompt and returns when the text has ended. */
  async generate(prompt: Prompt, options: GenerateOptions = {}): Promise<Generation> {
    return finished(this.stream(prompt, options));
  }

  /** Continues the prompt, piece by piece. Leaving the loop early stops the generation. */
  stream(prompt: Prompt, options: GenerateOptions = {}): AsyncGenerator<StreamEvent, void> {
    return this.#once((session) => session.stream(prompt, options));
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
    return this.#once((session) => session.streamChat(messages, options));
  }

  /**
   * One vector a text, pooled over the hidden states after the output norm; special tokens in texts
   * are recognised. A text is never cut.
   * @throws {PacelineError} `usage`, `context-overflow`, `aborted`, `memory`, `disposed`; `platform`
   *   for a model that ranks texts.
   */
  embed(texts: readonly Prompt[], options: EmbedOptions = {}): Promise<Embeddings> {
    return embed(this.#runtime, this.info.pooling, texts, options);
  }

  /**
   * Documents by how well they answer the query, with a model that was made for it. No text is cut;
   * names of control tokens in texts are plain text.
   * @throws {PacelineError} `usage`, `context-overflow`, `aborted`, `memory`, `disposed`; `platform`
   *   for a model that cannot rank.
   */
  rank(query: string, documents: readonly string[], options: RankOptions = {}): Promise<Ranking> {
    return rank(this.#runtime, query, documents, options);
  }

  /**
   * Ends what runs, waits for the pass in flight and frees all memory, that of sessions included.
   * Generations that run end with the reason `abort`; whatever is asked for afterwards is `disposed`.
   */
  dispose(): Promise<void> {
    this.#disposed ??= this.#runtime.dispose();
    return this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #once(
    start: (session: Session) => AsyncGenerator<StreamEvent, void>,
  ): AsyncGenerator<StreamEvent, void> {
    const used: Used = { session: undefined };
    const stream = this.#events(start, used);
    dropped.register(stream, used);
    return stream;
  }

  async *#events(
    start: (session: Session) => AsyncGenerator<StreamEvent, void>,
    used: Used,
  ): AsyncGenerator<StreamEvent, void> {
    const session = this.#idle ?? this.createSession();
    this.#idle = undefined;
    used.session = session;
    try {
      yield* start(session);
    } finally {
      used.session = undefined;
      if (this.#idle === undefined && this.#disposed === undefined) this.#idle = session;
      else session.dispose();
    }
  }
}

interface Used {
  session: Session | undefined;
}

/** A stream that nobody holds any more gives its session's memory back. */
const dropped = new FinalizationRegistry<Used>(({ session }) => session?.dispose());
