/**
 * From a request's input to prompt tokens. Conversations go through the model's chat template as
 * they are; where the template refuses them (a second system message or any, two messages of one
 * role in a row, ids of calls, arguments of a call that are no JSON) they are written again in
 * plainer forms that say the same. Nothing is ever left out.
 */
import { PacelineError } from '../base/errors.js';
import { detectToolFormat } from '../constraint/tool-calls/formats.js';
import type { Model } from '../engine/model.js';
import type { ChatMessage } from '../engine/types.js';
import { encodeChat } from '../tokenizer/chat.js';
import { activeTools } from './constraint.js';
import { messageForms } from './message-forms.js';
import { refuseField } from './refusals.js';
import { differsInMarkersOnly, markerOf, type ReplayMemory } from './replay.js';
import type { TextRequest } from './request.js';
import { functionTool, writeTools } from './tool-text.js';

/** @throws {PacelineError} `usage` for token ids that the model lacks or a refused conversation. */
export function encodePrompt(
  model: Model,
  request: TextRequest,
  replay?: ReplayMemory,
): readonly number[] {
  const { input } = request;
  const tokens =
    input.type === 'chat'
      ? model.runtime.exactTokens(encodeMessages(model, request, input, replay))
      : plain(model, input);
  if (tokens.length > 0) return tokens;
  const start = model.tokenizer.bosId ?? model.tokenizer.eosId;
  if (start === undefined) throw refuseField('prompt', 'The prompt is empty');
  return [start];
}

function plain(
  model: Model,
  input: Exclude<TextRequest['input'], { type: 'chat' }>,
): readonly number[] {
  if (input.type === 'text') return model.tokenizer.encode(input.text, { parseSpecial: true });
  const size = model.info.vocabularySize;
  const wrong = input.tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= size);
  if (wrong === undefined) return input.tokens;
  throw refuseField('prompt', `The prompt has ${wrong}, which is no token of this model`);
}

function encodeMessages(
  model: Model,
  request: TextRequest,
  input: Extract<TextRequest['input'], { type: 'chat' }>,
  replay: ReplayMemory | undefined,
): readonly number[] {
  const { tokenizer } = model;
  const { chatTemplate } = model.runtime;
  const use = activeTools(request);
  const taught = detectToolFormat(chatTemplate.source(true)) === undefined;
  const written = (messages: readonly ChatMessage[]) =>
    taught ? writeTools(messages, use) : messages;
  const spoken = replay === undefined ? undefined : spokenTurns(input.messages, replay);
  const tools = taught || use === undefined ? [] : use.definitions.map(functionTool);
  const options = {
    ...(tools.length > 0 ? { tools } : {}),
    ...(input.thinking === undefined ? {} : { thinking: input.thinking }),
    ...(input.variables === undefined ? {} : { variables: input.variables }),
  };
  let first: unknown;
  for (const form of messageForms) {
    try {
      const messages = form(written(input.messages));
      if (spoken !== undefined) {
        const marked = form(written(spoken.messages));
        const plainText = chatTemplate.render(messages, options);
        const markedText = renderedOr(undefined, () => chatTemplate.render(marked, options));
        const markers = [...spoken.turns.keys()];
        if (markedText !== undefined && differsInMarkersOnly(plainText, markedText, markers)) {
          const replayed = { ...options, spoken: spoken.turns };
          return encodeChat(tokenizer, chatTemplate, marked, replayed);
        }
      }
      return encodeChat(tokenizer, chatTemplate, messages, options);
    } catch (error) {
      first ??= error;
    }
  }
  if (PacelineError.is(first) && first.code === 'usage') {
    const { message, hint } = first;
    throw refuseField('messages', message, hint);
  }
  throw first;
}

/** The conversation with markers for turns that come back as they were sampled; undefined: none does. */
function spokenTurns(messages: readonly ChatMessage[], replay: ReplayMemory) {
  const turns = new Map<string, readonly number[]>();
  const marked = messages.map((message, index) => {
    const turn = replay.find(message);
    if (turn === undefined) return message;
    const { tool_calls: _, ...rest } = message;
    turns.set(markerOf(index), turn.tokens);
    return { ...rest, role: message.role, content: markerOf(index) };
  });
  return turns.size === 0 ? undefined : { messages: marked, turns };
}

/** What the template makes of a conversation, or `other` where it refuses it. */
function renderedOr<T>(other: T, render: () => string): string | T {
  try {
    return render();
  } catch {
    return other;
  }
}
