/**
 * Conversations to tokens: renders the chat template and encodes the result, in which the
 * template's control tokens count. The text of messages stays text: what looks like a control
 * token in them is not one, unless the caller trusts it. Knows nothing of models.
 */
import {
  type ChatTemplate,
  givenChatTemplate,
  type RenderOptions,
  readChatTemplate,
  type TemplateMessage,
  type TemplateTokens,
} from './chat-template.js';
import type { TokenizerMetadata } from './metadata.js';
import type { Tokenizer } from './tokenizer.js';
import { wellFormed } from './unicode.js';

export { ChatTemplate, type RenderOptions, type TemplateMessage } from './chat-template.js';

export interface ChatEncodeOptions extends RenderOptions {
  /**
   * Control tokens written in user, tool and system messages count as such, as in the reference.
   * Default false, so that nobody can end their own message and write the next. Messages of the
   * assistant are always trusted: templates look for the model's own marks in them.
   */
  readonly trustContent?: boolean;
}

function templateTokens(tokenizer: Tokenizer): TemplateTokens {
  const text = (id: number | undefined) => (id === undefined ? '' : tokenizer.tokenText(id));
  return {
    bos: text(tokenizer.bosId),
    eos: text(tokenizer.eosId),
    has: (token) => tokenizer.tokenId(token) !== undefined,
  };
}

/**
 * The chat template of a model file; see `ChatTemplate.origin` for what stands in.
 * @param source a template to use instead of the file's
 */
export function createChatTemplate(
  metadata: TokenizerMetadata,
  tokenizer: Tokenizer,
  source?: string,
): ChatTemplate {
  const tokens = templateTokens(tokenizer);
  return source === undefined
    ? readChatTemplate(metadata, tokens)
    : givenChatTemplate(source, tokens);
}

/** The tokens of a conversation, with one BOS if the model wants it. */
export function encodeChat(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly TemplateMessage[],
  options: ChatEncodeOptions = {},
): number[] {
  const guard = options.trustContent ? undefined : new ControlTextGuard(tokenizer, messages);
  const text = template.render(guard ? guard.protect(messages) : messages, options);
  const ids: number[] = [];
  tokenizer.appendText(ids, text, true, guard ? (part) => guard.restore(part) : undefined);
  const { bosId } = tokenizer;
  if (tokenizer.addsBos && bosId !== undefined && ids[0] !== bosId) ids.unshift(bosId);
  return ids;
}

/** Placeholders are a mark and a private character for the number of the hidden text. */
const PRIVATE = 0x100000;
const PRIVATE_COUNT = 0xfffe;

/** Hides the texts of control tokens in messages from the tokenizer's search for them. */
class ControlTextGuard {
  private readonly mark: string;
  private readonly hidden: string[] = [];
  private readonly placeholderOf = new Map<string, string>();

  constructor(
    private readonly tokenizer: Tokenizer,
    messages: readonly TemplateMessage[],
  ) {
    this.mark = unusedCharacter(JSON.stringify(messages));
  }

  protect(messages: readonly TemplateMessage[]): TemplateMessage[] {
    return messages.map((message) =>
      message.role === 'assistant' ? message : { ...message, content: this.hide(message.content) },
    );
  }

  /** The same value with the texts of control tokens replaced in every string. */
  private hide(value: unknown): unknown {
    if (typeof value === 'string') return this.hideText(value);
    if (Array.isArray(value)) return value.map((item) => this.hide(item));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, this.hide(item)] as const),
    );
  }

  private hideText(content: string): string {
    const text = wellFormed(content);
    let result = '';
    for (const { token, start, end } of this.tokenizer.findSpecial(text)) {
      const part = text.slice(start, end);
      const hide = token >= 0 && this.tokenizer.isControl(token);
      result += hide ? this.placeholder(part) : part;
    }
    return result;
  }

  private placeholder(text: string): string {
    let placeholder = this.placeholderOf.get(text);
    if (placeholder === undefined) {
      const number = this.hidden.length % PRIVATE_COUNT;
      placeholder = this.mark + String.fromCodePoint(PRIVATE + number);
      this.hidden.push(text);
      this.placeholderOf.set(text, placeholder);
    }
    return placeholder;
  }

  /** Puts the hidden texts back into a part of the rendered text. */
  restore(part: string): string {
    if (!part.includes(this.mark)) return part;
    return part.replace(
      new RegExp(`${this.mark}([\\u{100000}-\\u{10ffff}])`, 'gu'),
      (whole, character: string) => this.hidden[(character.codePointAt(0) ?? 0) - PRIVATE] ?? whole,
    );
  }
}

/** A noncharacter, which no text has for a meaning, that is not in `text`. */
function unusedCharacter(text: string): string {
  for (let point = 0xfdd0; point <= 0xfdef; point++) {
    const character = String.fromCharCode(point);
    if (!text.includes(character)) return character;
  }
  return '\ufffe';
}
