/** The commands inside a chat: `/help` and the like. */
import { writeFile } from 'node:fs/promises';
import type { Conversation } from './conversation.js';

export interface SlashResult {
  /** What to tell the person. */
  readonly say: string;
  readonly exit?: boolean;
}

export const slashHelp = `/help           this list
/reset          forget the conversation
/system [TEXT]  set the system message and start anew; without TEXT remove it
/save FILE      write the conversation as JSON
/exit           leave (also Ctrl-D)
A line that ends in \\ goes on in the next one. Ctrl-C stops the answer.`;

/** Carries out a line that begins with a slash; undefined when it is no known command. */
export async function slash(line: string, conversation: Conversation): Promise<SlashResult> {
  const [, name = '', rest = ''] = /^\/(\S*)\s*([\s\S]*)$/.exec(line) ?? [];
  switch (name) {
    case 'help':
    case '?':
      return { say: slashHelp };
    case 'reset':
    case 'clear':
      await conversation.reset();
      return { say: 'The conversation is forgotten.' };
    case 'system': {
      if (!conversation.chat) return { say: 'This is a base model: it has no system message.' };
      await conversation.setSystem(rest === '' ? undefined : rest);
      return { say: rest === '' ? 'System message removed.' : 'System message set.' };
    }
    case 'save': {
      if (rest === '') return { say: 'Where to? /save FILE' };
      try {
        const text = `${JSON.stringify({ messages: conversation.messages }, undefined, 2)}\n`;
        await writeFile(rest, text, { flag: 'wx' });
      } catch (error) {
        return { say: `Not saved: ${error instanceof Error ? error.message : error}` };
      }
      return { say: `Saved ${conversation.messages.length} messages to ${rest}` };
    }
    case 'exit':
    case 'quit':
    case 'bye':
      return { say: '', exit: true };
    default:
      return { say: `Unknown command /${name}; /help lists them.` };
  }
}
