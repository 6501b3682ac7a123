/**
 * Prompts from files: lines of text, or JSON lines with `prompt` or `messages`; and the tokens that a
 * model sees of them. Conversations and plain lines go through the chat template where the model
 * has one.
 */
import { PacelineError } from '../base/errors.js';
import { checkMessages } from '../engine/messages.js';
import type { Model } from '../engine/model.js';
import type { ChatMessage } from '../engine/types.js';
import { encodeChat } from '../tokenizer/chat.js';

/** A conversation that the model is to answer, or a text that it is to continue as it is. */
export type TextPrompt = { readonly messages: readonly ChatMessage[] } | { readonly text: string };

const mostPromptChars = 2 ** 20;

/**
 * Reads the prompts of a file's text: one a line, empty lines left out. A line that begins with `{`
 * is JSON: `{"prompt": "..."}`, which is continued as it is, or `{"messages": [...]}`.
 * @param answer whether a plain line is a question (true) or a beginning.
 * @throws {PacelineError} `usage` for a line that is neither.
 */
export function parsePrompts(source: string, name: string, answer: boolean): TextPrompt[] {
  const prompts: TextPrompt[] = [];
  for (const [index, line] of source.split('\n').entries()) {
    if (line.trim() === '') continue;
    const wrong = (problem: string): PacelineError =>
      new PacelineError('usage', `${name}, line ${index + 1}: ${problem}`, {
        hint: 'A line is a prompt, {"prompt": "..."}, or {"messages": [{"role": "user", "content": "..."}]}.',
        details: { file: name, line: index + 1 },
      });
    if (line.length > mostPromptChars) throw wrong(`longer than ${mostPromptChars} characters`);
    if (!line.startsWith('{')) {
      prompts.push(
        answer ? { messages: [{ role: 'user', content: line.trim() }] } : { text: line },
      );
      continue;
    }
    prompts.push(parseObject(line, wrong));
  }
  return prompts;
}

function parseObject(line: string, wrong: (problem: string) => PacelineError): TextPrompt {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw wrong('it begins with { and is no JSON');
  }
  const { prompt, messages } = value as Record<string, unknown>;
  if (typeof prompt === 'string' && prompt !== '') return { text: prompt };
  if (!Array.isArray(messages) || messages.length === 0) {
    throw wrong('it has neither a prompt nor messages');
  }
  try {
    checkMessages(messages);
  } catch (error) {
    throw wrong(error instanceof Error ? error.message : String(error));
  }
  return { messages: messages as ChatMessage[] };
}

/** The tokens of a prompt. @throws {PacelineError} `usage`, `bad-template`. */
export function promptTokens(model: Model, prompt: TextPrompt): readonly number[] {
  const { tokenizer, chatTemplate } = model.runtime;
  return 'text' in prompt
    ? tokenizer.encode(prompt.text, { parseSpecial: true })
    : encodeChat(tokenizer, chatTemplate, prompt.messages);
}
