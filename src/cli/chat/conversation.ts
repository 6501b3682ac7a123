/**
 * What a chat remembers: the messages so far and the session whose cache holds them. Knows nothing
 * of terminals.
 */
import type { ChatMessage, ChatOptions, StreamEvent } from '../../engine/types.js';
import type { ModelLike, SessionLike } from '../engine.js';

export interface ConversationSettings {
  /** Chat turns through the model's template; otherwise every input is continued as it is. */
  readonly chat: boolean;
  readonly system?: string | undefined;
  readonly options: ChatOptions;
}

/** A conversation with one model; each turn computes only what the session has not seen. */
export class Conversation {
  readonly chat: boolean;
  readonly #model: ModelLike;
  readonly #options: ChatOptions;
  #session: SessionLike;
  #system: string | undefined;
  #messages: ChatMessage[] = [];

  constructor(model: ModelLike, settings: ConversationSettings) {
    this.#model = model;
    this.chat = settings.chat;
    this.#system = settings.system;
    this.#options = settings.options;
    this.#session = model.createSession();
  }

  /** All messages, the system's first. */
  get messages(): readonly ChatMessage[] {
    if (this.#system === undefined) return this.#messages;
    return [{ role: 'system', content: this.#system }, ...this.#messages];
  }

  get system(): string | undefined {
    return this.#system;
  }

  /** Forgets all turns; the system message stays. */
  async reset(): Promise<void> {
    this.#messages = [];
    await this.#session.dispose();
    this.#session = this.#model.createSession();
  }

  /** Sets the system message of the next turns (undefined removes it) and starts anew. */
  async setSystem(text: string | undefined): Promise<void> {
    this.#system = text;
    await this.reset();
  }

  /**
   * One turn. What was said is remembered also when the answer was stopped halfway; a turn that
   * fails, or that was stopped before its first word, leaves the conversation as it was.
   */
  async *say(
    text: string,
    extra: Pick<ChatOptions, 'signal' | 'onProgress'> = {},
  ): AsyncIterable<StreamEvent> {
    const options = { ...this.#options, ...extra };
    if (!this.chat) {
      const events = this.#session.stream(text, options);
      let answer = '';
      for await (const event of events) {
        if (event.type === 'text') answer += event.text;
        yield event;
      }
      this.#messages.push({ role: 'user', content: text }, { role: 'assistant', content: answer });
      return;
    }
    const question: ChatMessage = { role: 'user', content: text };
    const events = this.#session.streamChat([...this.messages, question], options);
    let answer = '';
    try {
      for await (const event of events) {
        if (event.type === 'text') answer += event.text;
        yield event;
      }
    } finally {
      if (answer !== '') {
        this.#messages.push(question, { role: 'assistant', content: answer });
      }
    }
  }

  async dispose(): Promise<void> {
    await this.#session.dispose();
  }
}
