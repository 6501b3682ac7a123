/**
 * Conversations to text, by the template that the model file carries. A file without one gets a
 * plain format, and `origin` says so. Knows nothing of tokens.
 */
import { JinjaTemplate } from './jinja.js';
import type { TokenizerMetadata } from './metadata.js';

/** A message as templates read it; more fields (tool_calls, name, ...) are passed on. */
export interface TemplateMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [field: string]: unknown;
}

export interface RenderOptions {
  /** JSON schemas of tools, as `{type: 'function', function: {...}}`. */
  readonly tools?: readonly Readonly<Record<string, unknown>>[];
  /** Sets `enable_thinking` and `thinking`, which are the names that templates use. */
  readonly thinking?: boolean;
  /** End with the beginning of an answer. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** Further variables; they win over the ones above. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** What `strftime_now` formats; default: the present. */
  readonly now?: Date;
}

/** Where a template comes from: the file, or a stand-in because the file has none. */
export type TemplateOrigin = 'model' | 'given' | 'chatml' | 'plain';

const chatml = `{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}`;

const plain = `{%- for message in messages -%}
{{ message.role }}: {{ message.content }}

{% endfor -%}
{%- if add_generation_prompt %}assistant:{% endif -%}`;

/** Strings that templates write at the beginning and end. */
export interface TemplateTokens {
  readonly bos: string;
  readonly eos: string;
  /** Whether the vocabulary has this text as a token; decides the stand-in. */
  has(text: string): boolean;
}

export class ChatTemplate {
  private readonly parsed = new Map<string, JinjaTemplate>();
  private readonly forms = new Map<JinjaTemplate, ReadonlySet<ContentForm>>();

  /** @param sources templates by name; `default` must be there */
  constructor(
    readonly origin: TemplateOrigin,
    private readonly sources: ReadonlyMap<string, string>,
    private readonly tokens: Pick<TemplateTokens, 'bos' | 'eos'>,
  ) {}

  /** A sentence for the user when the file has no template, else undefined. */
  get warning(): string | undefined {
    if (this.origin === 'model' || this.origin === 'given') return undefined;
    const format = this.origin === 'chatml' ? 'ChatML' : '"role: text"';
    return `The model file has no chat template; conversations are written as plain ${format}.`;
  }

  /** The source that a conversation with or without tools is rendered with. */
  source(tools: boolean): string {
    const named = tools ? this.sources.get('tool_use') : undefined;
    return named ?? this.sources.get('default') ?? '';
  }

  /**
   * The conversation as text. JSON in `tool_calls[].function.arguments` is parsed first, because
   * most templates want the object.
   * @throws {PacelineError} `usage` when the template refuses it, `broken-file` when it is broken
   */
  render(messages: readonly TemplateMessage[], options: RenderOptions = {}): string {
    const tools = options.tools && options.tools.length > 0 ? options.tools : undefined;
    const source = this.source(tools !== undefined);
    let template = this.parsed.get(source);
    if (!template) {
      template = new JinjaTemplate(source);
      this.parsed.set(source, template);
    }
    const thinking =
      options.thinking === undefined
        ? {}
        : { enable_thinking: options.thinking, thinking: options.thinking };
    const variables = {
      messages: this.fitContent(template, messages).map(withParsedArguments),
      tools: tools ?? absent(source, 'tools'),
      documents: absent(source, 'documents'),
      add_generation_prompt: options.addGenerationPrompt ?? true,
      bos_token: this.tokens.bos,
      eos_token: this.tokens.eos,
      ...thinking,
      ...options.variables,
    };
    return template.render(variables, options.now ?? new Date());
  }

  /**
   * Content in the form that the template can write: parts of text joined, or a text as one part.
   * Null, which clients write beside tool calls, becomes empty: templates would print "None".
   */
  private fitContent(
    template: JinjaTemplate,
    messages: readonly TemplateMessage[],
  ): TemplateMessage[] {
    let forms = this.forms.get(template);
    if (!forms) {
      forms = contentForms(template);
      this.forms.set(template, forms);
    }
    const { size } = forms;
    return messages.map((message) => {
      const { content } = message;
      if (content === null) return { ...message, content: '' };
      if (size !== 1) return message;
      if (typeof content === 'string' && forms.has('parts')) {
        return { ...message, content: [{ type: 'text', text: content }] };
      }
      if (Array.isArray(content) && forms.has('string') && content.every(isTextPart)) {
        return { ...message, content: content.map((part) => part.text).join('') };
      }
      return message;
    });
  }
}

type ContentForm = 'string' | 'parts';

/** The forms of a message's content that a template can write; found by trying. */
function contentForms(template: JinjaTemplate): ReadonlySet<ContentForm> {
  const probe = 'content probe';
  const contents: Record<ContentForm, unknown> = {
    string: probe,
    parts: [{ type: 'text', text: probe }],
  };
  const forms = new Set<ContentForm>();
  for (const form of ['string', 'parts'] as const) {
    try {
      const messages = [{ role: 'user', content: contents[form] }];
      const text = template.render({ messages, add_generation_prompt: true }, new Date(0));
      // A template that does not know parts writes the list itself.
      if (text.includes(probe) && !/['"]text['"]/.test(text)) forms.add(form);
    } catch {
      // It cannot.
    }
  }
  return forms;
}

function isTextPart(part: unknown): part is { type: 'text'; text: string } {
  const { type, text } = (part ?? {}) as { type?: unknown; text?: unknown };
  return type === 'text' && typeof text === 'string';
}

/** None for a template that asks whether the variable is none, else undefined, fit for a loop. */
function absent(source: string, name: string): null | undefined {
  return new RegExp(`\\b${name}\\s+(is\\s+(not\\s+)?|[!=]=\\s*)none\\b`, 'i').test(source)
    ? null
    : undefined;
}

function withParsedArguments(message: TemplateMessage): TemplateMessage {
  if (!Array.isArray(message.tool_calls)) return message;
  return { ...message, tool_calls: message.tool_calls.map(withParsedCall) };
}

function withParsedCall(call: unknown): unknown {
  if (typeof call !== 'object' || call === null) return call;
  const { function: named } = call as { function?: unknown };
  if (typeof named !== 'object' || named === null) return call;
  const { arguments: text } = named as { arguments?: unknown };
  if (typeof text !== 'string') return call;
  const parsed = parseObject(text);
  return parsed ? { ...call, function: { ...named, arguments: parsed } } : call;
}

function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text.trim() || '{}');
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** A template that the caller gives instead of the file's. */
export function givenChatTemplate(source: string, tokens: TemplateTokens): ChatTemplate {
  return new ChatTemplate('given', new Map([['default', source]]), tokens);
}

/** The templates of a model file, or a stand-in: ChatML if the vocabulary has its tokens. */
export function readChatTemplate(
  metadata: TokenizerMetadata,
  tokens: TemplateTokens,
): ChatTemplate {
  const prefix = 'tokenizer.chat_template';
  const sources = new Map<string, string>();
  const names = metadata.optionalStringArray('tokenizer.chat_templates') ?? [];
  for (const name of [...names, 'tool_use']) {
    const source = metadata.optionalString(`${prefix}.${name}`);
    if (source) sources.set(name, source);
  }
  const main = metadata.optionalString(prefix) ?? sources.values().next().value;
  if (main) {
    sources.set('default', main);
    return new ChatTemplate('model', sources, tokens);
  }
  const known = tokens.has('<|im_start|>') && tokens.has('<|im_end|>');
  return new ChatTemplate(
    known ? 'chatml' : 'plain',
    new Map([['default', known ? chatml : plain]]),
    tokens,
  );
}
