/** The commands inside a chat: `/help` and the like. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { PacelineError } from '../../base/errors.js';
import type { ChatMessage } from '../../engine/types.js';
import { decodeUtf8 } from '../input.js';
import type { Conversation } from './conversation.js';

export interface SlashResult {
  /** What to tell the person. */
  readonly say: string;
  /** A message to send to the model. */
  readonly send?: string;
  readonly exit?: boolean;
}

const slashHelp = `/help           this list
/reset          forget the conversation
/context        how full the context is
/system [TEXT]  set the system message and start anew; without TEXT remove it
/save FILE      write the conversation as JSON
/load FILE      go on with a conversation that was saved
/read FILE      send the text of a file as a message
/exit           leave (also Ctrl-D)
//...           a message that begins with a slash
Several lines: begin and end with """, or end each line but the last with \\. Pasted lines are one
message; \u23ce stands for a line break. Ctrl-C stops the answer.`;

/** Carries out a line that begins with a slash. Files that cannot be used are reported, not thrown. */
export async function slash(line: string, conversation: Conversation): Promise<SlashResult> {
  if (line.startsWith('//')) return { say: '', send: line.slice(1) };
  const [, name = '', rest = ''] = /^\/(\S*)\s*([\s\S]*)$/.exec(line) ?? [];
  switch (name) {
    case 'help':
    case '?':
      return { say: slashHelp };
    case 'reset':
    case 'clear':
      await conversation.reset();
      return { say: 'The conversation is forgotten.' };
    case 'context':
      return { say: contextText(conversation) };
    case 'system': {
      if (!conversation.chat) return { say: 'This is a base model: it has no system message.' };
      await conversation.setSystem(rest === '' ? undefined : rest);
      return { say: rest === '' ? 'System message removed.' : 'System message set.' };
    }
    case 'save':
      return withFile(rest, '/save', async () => {
        const text = `${JSON.stringify({ messages: conversation.messages }, undefined, 2)}\n`;
        await writeFile(rest, text, { flag: 'wx' });
        return { say: `Saved ${conversation.messages.length} messages to ${rest}` };
      });
    case 'load':
      return withFile(rest, '/load', async () => {
        if (!conversation.chat) return { say: 'This is a base model: it has no conversations.' };
        const messages = parseConversation(await readText(rest), rest);
        await conversation.restore(messages);
        return { say: `Loaded ${messages.length} messages; what you say next follows them.` };
      });
    case 'read':
      return withFile(rest, '/read', async () => ({ say: '', send: await readText(rest) }));
    case 'exit':
    case 'quit':
    case 'bye':
      return { say: '', exit: true };
    default:
      // Pasted lines that begin with a path, for example.
      if (line.includes('\n')) return { say: '', send: line };
      return {
        say:
          `Unknown command /${name}; /help lists them. ` +
          'To send a message that begins with a slash, type two.',
      };
  }
}

function contextText({ context, chat }: Conversation): string {
  const { used, capacity, turns } = context;
  if (!chat) return `Each text has the whole context of ${capacity} tokens.`;
  const share = Math.round((100 * used) / capacity);
  return (
    `${used} of ${capacity} tokens are used (${share}%), by ${turns} ` +
    `turn${turns === 1 ? '' : 's'}; when it is full, the oldest turns are forgotten.`
  );
}

async function withFile(
  path: string,
  command: string,
  work: () => Promise<SlashResult>,
): Promise<SlashResult> {
  if (path === '') return { say: `Which file? ${command} FILE` };
  try {
    return await work();
  } catch (error) {
    return { say: `${command} failed: ${error instanceof Error ? error.message : error}` };
  }
}

/** No message and no conversation is larger. */
const mostBytes = 16 << 20;

async function readText(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > mostBytes) throw new PacelineError('usage', `${path} is too large for a chat`);
  return decodeUtf8(await readFile(path), path).replace(/\r?\n$/, '');
}

const roles: readonly string[] = ['system', 'user', 'assistant', 'tool'];

/** @throws {PacelineError} `usage` for anything but what `/save` writes. */
function parseConversation(text: string, path: string): ChatMessage[] {
  const wrong = new PacelineError('usage', `${path} holds no conversation; /read sends a text`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong;
  }
  const messages = (value as { messages?: unknown } | null)?.messages;
  if (!Array.isArray(messages)) throw wrong;
  return messages.map((message: unknown) => {
    const { role, content } = (message ?? {}) as Partial<ChatMessage>;
    if (!roles.includes(role ?? '') || typeof content !== 'string') throw wrong;
    return message as ChatMessage;
  });
}
