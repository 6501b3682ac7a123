/**
 * What a chat remembers: the messages so far and the session whose cache holds them. When the context
 * is full, whole turns are forgotten, the oldest first; the system message stays. Knows nothing of
 * terminals.
 */
import { PacelineError } from '../../base/errors.js';
import type { ChatMessage, ChatOptions, Generation, StreamEvent } from '../../engine/types.js';
import type { ModelLike, SessionLike } from '../engine.js';

export interface ConversationSettings {
  /** Chat turns through the model's template; otherwise every input is continued as it is. */
  readonly chat: boolean;
  readonly system?: string | undefined;
  readonly options: ChatOptions;
}

/** How much of the context is taken. */
export interface ContextUse {
  /** Tokens of all turns so far, as of the last answer. */
  readonly used: number;
  readonly capacity: number;
  readonly turns: number;
}

/** A question with its answer. */
interface Turn {
  readonly messages: readonly ChatMessage[];
  /** Tokens that it added; 0 where that is not known. */
  readonly tokens: number;
}

/** What happens in a turn: the answer, and before it perhaps that turns were forgotten. */
export type TurnEvent = StreamEvent | { readonly type: 'forgotten'; readonly turns: number };

/** Tokens that should be left for an answer, at most. */
const roomForAnswer = 512;

/** A conversation with one model; each turn computes only what the session has not seen. */
export class Conversation {
  readonly chat: boolean;
  readonly #model: ModelLike;
  readonly #options: ChatOptions;
  #session: SessionLike;
  #system: string | undefined;
  #turns: Turn[] = [];
  /** Tokens of the prompt and the answer of the last turn. */
  #used = 0;

  constructor(model: ModelLike, settings: ConversationSettings) {
    this.#model = model;
    this.chat = settings.chat;
    this.#system = settings.system;
    this.#options = settings.options;
    this.#session = model.createSession();
  }

  /** All messages, the system's first. */
  get messages(): readonly ChatMessage[] {
    const turns = this.#turns.flatMap(({ messages }) => messages);
    if (this.#system === undefined) return turns;
    return [{ role: 'system', content: this.#system }, ...turns];
  }

  get system(): string | undefined {
    return this.#system;
  }

  get context(): ContextUse {
    const capacity = this.#model.info.contextLength;
    return { used: this.#used, capacity, turns: this.#turns.length };
  }

  /** Most tokens of an answer; undefined: until the model ends. */
  get maxTokens(): number | undefined {
    return this.#options.maxTokens;
  }

  /** Forgets all turns; the system message stays. */
  async reset(): Promise<void> {
    this.#turns = [];
    this.#used = 0;
    await this.#session.dispose();
    this.#session = this.#model.createSession();
  }

  /** Sets the system message of the next turns (undefined removes it) and starts anew. */
  async setSystem(text: string | undefined): Promise<void> {
    this.#system = text;
    await this.reset();
  }

  /** Starts anew with the messages of another conversation. */
  async restore(messages: readonly ChatMessage[]): Promise<void> {
    await this.reset();
    const [first, ...rest] = messages;
    this.#system = first?.role === 'system' ? first.content : undefined;
    for (const message of first?.role === 'system' ? rest : messages) {
      const last = this.#turns.at(-1);
      if (message.role === 'user' || last === undefined) {
        this.#turns.push({ messages: [message], tokens: 0 });
      } else {
        this.#turns[this.#turns.length - 1] = { messages: [...last.messages, message], tokens: 0 };
      }
    }
  }

  /**
   * One turn. What was said is remembered also when the answer was stopped halfway; a turn that
   * fails, or that was stopped before its first word, leaves the conversation as it was, but for
   * turns that were forgotten.
   */
  async *say(
    text: string,
    extra: Pick<ChatOptions, 'signal' | 'onProgress'> = {},
  ): AsyncGenerator<TurnEvent, void> {
    const options = { ...this.#options, ...extra };
    const question: ChatMessage = { role: 'user', content: text };
    let answer = '';
    let generation: Generation | undefined;
    try {
      const events = this.chat
        ? this.#answer(question, options)
        : this.#session.stream(text, options);
      for await (const event of events) {
        if (event.type === 'text') answer += event.text;
        if (event.type === 'end') generation = event.generation;
        yield event;
      }
    } finally {
      if (answer !== '') this.#remember(question, answer, generation);
    }
  }

  #remember(question: ChatMessage, answer: string, generation: Generation | undefined): void {
    const used =
      generation === undefined ? this.#used : generation.promptTokens + generation.tokens.length;
    const messages: ChatMessage[] = [question, { role: 'assistant', content: answer }];
    this.#turns.push({ messages, tokens: Math.max(0, used - this.#used) });
    this.#used = used;
  }

  /** The answer, after turns were forgotten where it would not fit. */
  async *#answer(question: ChatMessage, options: ChatOptions): AsyncGenerator<TurnEvent, void> {
    if (this.#isTight(question)) {
      const turns = this.#forget();
      if (turns > 0) yield { type: 'forgotten', turns };
    }
    for (;;) {
      let begun = false;
      try {
        for await (const event of this.#session.streamChat([...this.messages, question], options)) {
          begun = true;
          yield event;
        }
        return;
      } catch (error) {
        const full = PacelineError.is(error) && error.code === 'context-overflow';
        const turns = full && !begun ? this.#forget() : 0;
        if (turns === 0) throw error;
        yield { type: 'forgotten', turns };
      }
    }
  }

  /** Whether the question and an answer of usual length would hardly fit. */
  #isTight({ content }: ChatMessage): boolean {
    const { used, capacity } = this.context;
    // What was loaded has not been counted yet.
    if (used === 0 || used > capacity) return false;
    // Three bytes a token is less than most texts have.
    const needed = Buffer.byteLength(content) / 3 + Math.min(roomForAnswer, capacity / 8);
    return this.#turns.length > 0 && used + needed > capacity;
  }

  /**
   * Drops the oldest turns until half of the context is free, so that it does not happen again soon:
   * what follows a forgotten turn has to be computed anew. @returns how many were dropped.
   */
  #forget(): number {
    const half = this.context.capacity / 2;
    let dropped = 0;
    while (this.#turns.length > 0 && (dropped === 0 || this.#used > half)) {
      this.#used -= this.#turns.shift()?.tokens ?? 0;
      dropped++;
    }
    return dropped;
  }

  async dispose(): Promise<void> {
    await this.#session.dispose();
  }
}
