/**
 * Conversations to tokens: renders the chat template and encodes the result, in which the
 * template's control tokens count. What the caller gives stays text: messages, tools, arguments and
 * results of calls, names and other variables hold no control tokens, whatever they look like,
 * unless the caller trusts them. Knows nothing of models.
 */

import type { RawJson } from '../template/raw-json.js';
import {
  type ChatTemplate,
  givenChatTemplate,
  type RenderOptions,
  readChatTemplate,
  type TemplateMessage,
  type TemplateTokens,
} from './chat-template.js';
import { ControlTextGuard } from './control-text.js';
import type { TokenizerMetadata } from './metadata.js';
import type { Tokenizer } from './tokenizer.js';

export { ChatTemplate, type RenderOptions, type TemplateMessage } from './chat-template.js';

export interface ChatEncodeOptions extends RenderOptions {
  /**
   * Control tokens written in messages, tools and variables count as such, as in the reference.
   * Default false, so that nobody can end their own message and write the next. What an assistant
   * said and thought is always trusted: templates look for the model's own marks in it.
   */
  readonly trustContent?: boolean;
  /** Texts that stand for tokens, in their order, each at most once in the rendered text. */
  readonly spoken?: ReadonlyMap<string, readonly number[]>;
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
  messages: readonly TemplateMessage[] | RawJson,
  options: ChatEncodeOptions = {},
): number[] {
  const guard = options.trustContent ? undefined : new ControlTextGuard(tokenizer);
  const text = template.render(
    messages,
    options,
    guard && ((given, source) => guard.protect(given, source)),
  );
  const ids: number[] = [];
  let rest = text;
  const append = (part: string): void =>
    tokenizer.appendText(ids, part, true, guard && ((piece) => guard.restore(piece)));
  for (const [marker, tokens] of options.spoken ?? []) {
    const [before = '', after] = rest.split(marker, 2);
    if (after === undefined) continue;
    append(before);
    for (const token of tokens) ids.push(token);
    rest = after;
  }
  append(rest);
  const { bosId } = tokenizer;
  if (tokenizer.addsBos && bosId !== undefined && ids[0] !== bosId) ids.unshift(bosId);
  return ids;
}
