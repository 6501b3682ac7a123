/**
 * Prompts of the AI SDK (v3 and v4) as messages for a chat template. Nothing is left out: a part that
 * is no text (an image, audio, an approval) is refused by name.
 */
import type {
  LanguageModelV3FilePart,
  LanguageModelV3Message,
  LanguageModelV3ToolResultPart,
  LanguageModelV4FilePart,
  LanguageModelV4Message,
  LanguageModelV4ToolResultPart,
} from '@ai-sdk/provider';
import type { PacelineError } from '../base/errors.js';
import { refuseField } from '../chat/refusals.js';
import type { ChatMessage } from '../engine/types.js';

type Message = LanguageModelV3Message | LanguageModelV4Message;
type Output = LanguageModelV3ToolResultPart['output'] | LanguageModelV4ToolResultPart['output'];
/** A file, of a prompt or of a tool's result. */
type File = Pick<LanguageModelV3FilePart | LanguageModelV4FilePart, 'data' | 'mediaType'> & {
  readonly filename?: string | undefined;
};

/** @throws {PacelineError} `usage` for parts that are no text; `details.param` says which. */
export function toMessages(prompt: readonly Message[]): readonly ChatMessage[] {
  return prompt.flatMap((message, index) => messagesOf(message, `prompt.${index}`));
}

function messagesOf(message: Message, path: string): readonly ChatMessage[] {
  switch (message.role) {
    case 'system':
      return [{ role: 'system', content: message.content }];
    case 'user': {
      const texts = message.content.map((part, index) =>
        part.type === 'text' ? part.text : fileText(part, `${path}.content.${index}`),
      );
      return [{ role: 'user', content: texts.join('') }];
    }
    case 'assistant':
      return [assistantMessage(message.content, path)];
    case 'tool':
      return message.content.map((part, index) => {
        const at = `${path}.content.${index}`;
        if (part.type !== 'tool-result') throw unsupported(at, part.type);
        const { toolCallId, toolName } = part;
        const content = resultText(part.output, at);
        return { role: 'tool', content, tool_call_id: toolCallId, name: toolName };
      });
  }
}

function assistantMessage(
  content: Extract<Message, { role: 'assistant' }>['content'],
  path: string,
): ChatMessage {
  let text = '';
  let reasoning = '';
  const calls: object[] = [];
  for (const [index, part] of content.entries()) {
    switch (part.type) {
      case 'text':
        text += part.text;
        break;
      case 'reasoning':
        reasoning += part.text;
        break;
      case 'tool-call': {
        // The SDK hands back as text what it could not read as JSON.
        const written = typeof part.input === 'string' ? part.input : JSON.stringify(part.input);
        const call = { name: part.toolName, arguments: written };
        calls.push({ type: 'function', id: part.toolCallId, function: call });
        break;
      }
      case 'file':
        text += fileText(part, `${path}.content.${index}`);
        break;
      default:
        throw unsupported(`${path}.content.${index}`, part.type);
    }
  }
  return {
    role: 'assistant',
    content: text,
    ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
}

/** Files of text are a part of the message, under their name. */
function fileText({ data, filename, mediaType }: File, path: string): string {
  const given = tagged(data);
  if (given.type === 'url' || given.type === 'reference') {
    throw unsupported(path, 'file by address');
  }
  if (!/^(text$|text\/|application\/json$)/.test(mediaType)) throw unsupported(path, mediaType);
  const text = given.type === 'text' ? given.text : decoded(given.data);
  return filename === undefined ? text : `${filename}:\n${text}\n`;
}

type Tagged = LanguageModelV4FilePart['data'];

/** Files of v4 say what they are; those of v3 are bytes, base64 or an address. */
function tagged(data: File['data']): Tagged {
  if (typeof data === 'object' && 'type' in data) return data;
  return data instanceof URL ? { type: 'url', url: data } : { type: 'data', data };
}

function decoded(data: string | Uint8Array): string {
  return new TextDecoder().decode(typeof data === 'string' ? Buffer.from(data, 'base64') : data);
}

function resultText(output: Output, path: string): string {
  switch (output.type) {
    case 'text':
    case 'error-text':
      return output.value;
    case 'json':
    case 'error-json':
      return JSON.stringify(output.value);
    case 'execution-denied':
      return output.reason ?? 'The execution of the tool was denied.';
    case 'content':
      return output.value
        .map((part) => {
          if (part.type === 'text') return part.text;
          if (part.type === 'file') return fileText(part, path);
          throw unsupported(path, part.type);
        })
        .join('');
  }
}

function unsupported(path: string, type: string): PacelineError {
  return refuseField(
    path,
    `${path}: content of type ${JSON.stringify(type)} is not supported`,
    'Models here read text only: no images, audio or other files.',
  );
}
