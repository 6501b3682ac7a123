/**
 * Conversations to text, by the template that the model file carries. A file without one gets a
 * plain format, and `origin` says so. Knows nothing of tokens.
 */
import { PacelineError } from '../base/errors.js';
import {
  Dict,
  type RawJson,
  rawJson,
  Template,
  toValue,
  type Value,
} from '../template/template.js';
import type { TokenizerMetadata } from './metadata.js';

/** A message as templates read it; more fields (tool_calls, name, ...) are passed on. */
export interface TemplateMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [field: string]: unknown;
}

export interface RenderOptions {
  /** JSON schemas of tools, as `{type: 'function', function: {...}}`. */
  readonly tools?: readonly Readonly<Record<string, unknown>>[] | RawJson;
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

/** Variables of a template, by name. */
export type TemplateVariables = ReadonlyMap<string, Value>;

/** What is done to the values that the caller gave, before the template sees them. */
export type Protect = (given: TemplateVariables, source: string) => TemplateVariables;

export class ChatTemplate {
  private readonly compiled = new Map<string, Template>();
  private readonly forms = new Map<Template, ReadonlySet<ContentForm>>();

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
   * @param protect changes what the caller gave; the template's own tokens are not among it
   * @throws {PacelineError} `usage` when the template refuses it or needs too much, `broken-file`
   *   when it is broken
   */
  render(
    messages: readonly TemplateMessage[] | RawJson,
    options: RenderOptions = {},
    protect: Protect = (given) => given,
  ): string {
    const tools = options.tools === undefined ? [] : listOf(options.tools, 'tools');
    const source = this.source(tools.length > 0);
    const template = this.template(source);
    const given = new Map<string, Value>([
      ['messages', this.fitContent(template, listOf(messages, 'messages')).map(parseArguments)],
    ]);
    if (tools.length > 0) given.set('tools', tools);
    for (const [name, value] of Object.entries(options.variables ?? {})) {
      if (value !== undefined) given.set(name, toValue(value, name));
    }
    const own: [string, Value][] = [
      ['add_generation_prompt', options.addGenerationPrompt ?? true],
      ['bos_token', this.tokens.bos],
      ['eos_token', this.tokens.eos],
      ...(asksForNone(source, 'tools') ? [['tools', null] as [string, Value]] : []),
      ...(asksForNone(source, 'documents') ? [['documents', null] as [string, Value]] : []),
    ];
    if (options.thinking !== undefined) {
      own.push(['enable_thinking', options.thinking], ['thinking', options.thinking]);
    }
    const settings = { now: options.now ?? new Date() };
    return template.render([...own, ...protect(given, source)], settings);
  }

  private template(source: string): Template {
    let template = this.compiled.get(source);
    if (!template) {
      template = new Template(source);
      this.compiled.set(source, template);
    }
    return template;
  }

  /**
   * Content in the form that the template can write: parts of text joined, or a text as one part.
   * Null, which clients write beside tool calls, becomes empty: templates would print "None".
   */
  private fitContent(template: Template, messages: readonly Value[]): Value[] {
    let forms = this.forms.get(template);
    if (!forms) {
      forms = contentForms(template);
      this.forms.set(template, forms);
    }
    const onlyParts = forms.size === 1 && forms.has('parts');
    const onlyText = forms.size === 1 && forms.has('string');
    return messages.map((message) => {
      if (!(message instanceof Dict)) return message;
      const content = message.get('content');
      if (content === null) return changed(message, 'content', '');
      if (typeof content === 'string' && onlyParts) {
        return changed(message, 'content', [
          Dict.of([
            ['type', 'text'],
            ['text', content],
          ]),
        ]);
      }
      if (!Array.isArray(content) || !onlyText) return message;
      const texts = content.map(textOfPart);
      return texts.includes(undefined) ? message : changed(message, 'content', texts.join(''));
    });
  }
}

/** A list that the caller gave, as values. @throws {PacelineError} `usage` when it is none */
function listOf(value: readonly unknown[] | RawJson, name: string): Value[] {
  const list = toValue(value, name);
  if (Array.isArray(list) && list.every((item) => item instanceof Dict)) return list;
  throw new PacelineError('usage', `The ${name} of a chat are no list of objects`, {
    hint: `Give ${name} as an array of objects, or as JSON text of one through rawJson().`,
    details: { variable: name },
  });
}

/** The same dictionary with one other value. */
function changed(dict: Dict, key: string, value: Value): Dict {
  const copy = Dict.of(dict.pairs());
  copy.set(key, value);
  return copy;
}

type ContentForm = 'string' | 'parts';

/** The forms of a message's content that a template can write; found by trying. */
function contentForms(template: Template): ReadonlySet<ContentForm> {
  const probe = 'content probe';
  const contents: Record<ContentForm, unknown> = {
    string: probe,
    parts: [{ type: 'text', text: probe }],
  };
  const forms = new Set<ContentForm>();
  for (const form of ['string', 'parts'] as const) {
    try {
      const messages = toValue([{ role: 'user', content: contents[form] }], 'messages');
      const text = template.render(
        [
          ['messages', messages],
          ['add_generation_prompt', true],
        ],
        { now: new Date(0) },
      );
      // A template that does not know parts writes the list itself.
      if (text.includes(probe) && !/['"]text['"]/.test(text)) forms.add(form);
    } catch {
      // It cannot.
    }
  }
  return forms;
}

/** The text of a part of content that is text, else undefined. */
function textOfPart(part: Value): string | undefined {
  if (!(part instanceof Dict) || part.get('type') !== 'text') return undefined;
  const text = part.get('text');
  return typeof text === 'string' ? text : undefined;
}

/** Whether a template asks if the variable is none: else it is undefined, fit for a loop. */
function asksForNone(source: string, name: string): boolean {
  return new RegExp(`\\b${name}\\s+(is\\s+(not\\s+)?|[!=]=\\s*)none\\b`, 'i').test(source);
}

/** A message whose tool calls have objects as arguments where they were JSON of one. */
function parseArguments(message: Value): Value {
  const calls = message instanceof Dict ? message.get('tool_calls') : undefined;
  if (!(message instanceof Dict) || !Array.isArray(calls)) return message;
  return changed(message, 'tool_calls', calls.map(parseCall));
}

function parseCall(call: Value): Value {
  if (!(call instanceof Dict)) return call;
  const named = call.get('function');
  if (!(named instanceof Dict)) return call;
  const text = named.get('arguments');
  if (typeof text !== 'string') return call;
  const parsed = readJson(text.trim() || '{}');
  if (typeof parsed !== 'object' || parsed === null) return call;
  return changed(call, 'function', changed(named, 'arguments', parsed));
}

/** The value of a JSON text, or undefined when it is none. */
function readJson(text: string): Value | undefined {
  try {
    return toValue(rawJson(text), 'arguments');
  } catch (error) {
    if (PacelineError.is(error)) return undefined;
    throw error;
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
