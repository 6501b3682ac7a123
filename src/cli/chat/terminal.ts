/**
 * The chat on a terminal: a prompt with history, streamed answers, slash commands. Ctrl-C stops the
 * answer; at the prompt it clears the line, and a second one leaves with 130.
 */
import { createInterface } from 'node:readline';
import { PacelineError } from '../../base/errors.js';
import type { Generation, ModelInfo } from '../../engine/types.js';
import type { ModelLike } from '../engine.js';
import { toPacelineError } from '../failure.js';
import { dim } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { printable } from '../table.js';
import { cutText, demonstration, isDemonstration, summaryLine } from '../text-report.js';
import { Conversation, type ConversationSettings } from './conversation.js';
import { readHistory, writeHistory } from './history.js';
import { KeyGate, type KeySource } from './key-gate.js';
import { LineReader } from './line-reader.js';
import { pasteMode } from './pastes.js';
import { slash } from './slash.js';

/** The streams of the chat; tests give their own. */
export interface ChatStreams {
  readonly input: KeySource;
  readonly output: NodeJS.WriteStream;
  readonly history?: { readonly read: () => string[]; readonly write: (h: string[]) => void };
}

function banner(info: ModelInfo, chat: boolean): string {
  const name = printable(info.name ?? info.path);
  const kind = chat ? 'Type a message.' : 'A base model: it continues what you type.';
  const about = isDemonstration(info) ? `${demonstration()}\n` : '';
  return `${name} (${info.architecture}, ${info.kernels}, ${info.threads} threads)\n${about}${kind} /help lists the commands, Ctrl-D leaves.\n`;
}

/** A base model goes on for ever: in a chat it gets this many tokens a turn unless told otherwise. */
const turnTokens = 128;

/**
 * Runs the chat until the person leaves.
 * @throws {PacelineError} `aborted` when they left with Ctrl-C.
 */
export async function chatOnTerminal(
  model: ModelLike,
  settings: ConversationSettings,
  streams: ChatStreams = { input: process.stdin, output: process.stdout },
): Promise<void> {
  const { input, output } = streams;
  const options = settings.chat ? settings.options : { maxTokens: turnTokens, ...settings.options };
  const conversation = new Conversation(model, { ...settings, options });
  const history = (streams.history?.read ?? readHistory)();
  const gate = new KeyGate(input);
  const readline = createInterface({
    input: gate,
    output,
    terminal: true,
    history,
    historySize: 500,
    removeHistoryDuplicates: true,
  });
  let kept: string[] = history;
  readline.on('history', (lines: string[]) => {
    kept = [...lines];
  });
  const reader = new LineReader(readline, output, gate.pastes);
  output.write(`${pasteMode.on}${dim(banner(model.info, settings.chat), output)}`);
  try {
    for (;;) {
      const line = await reader.next();
      if (line.kind === 'leave') throw new PacelineError('aborted', 'Left with Ctrl-C');
      if (line.kind === 'end') {
        output.write('\n');
        return;
      }
      if (line.text.trim() === '') continue;
      let message: string | undefined = line.text;
      if (line.text.startsWith('/') && line.literal !== true) {
        const result = await slash(line.text, conversation);
        if (result.exit === true) return;
        if (result.say !== '') output.write(`${result.say}\n`);
        message = result.send;
      }
      if (message !== undefined) await answer(conversation, message, model.info, gate, output);
    }
  } finally {
    output.write(pasteMode.off);
    readline.close();
    gate.release();
    (streams.history?.write ?? writeHistory)(kept.filter((line) => gate.pastes.isWhole(line)));
    await conversation.dispose();
  }
}

/** Streams one answer; Ctrl-C meanwhile stops it. A failed turn is reported, the chat goes on. */
async function answer(
  conversation: Conversation,
  text: string,
  info: ModelInfo,
  gate: KeyGate,
  output: NodeJS.WriteStream,
): Promise<void> {
  const stop = new AbortController();
  const onInterrupt = (): void => stop.abort();
  gate.close(onInterrupt);
  process.on('SIGINT', onInterrupt);
  const bar = new ProgressBar();
  if (!conversation.chat) output.write(dim(text, output));
  try {
    for await (const event of conversation.say(text, {
      signal: stop.signal,
      onProgress: bar.onProgress,
    })) {
      bar.clear();
      if (event.type === 'text') output.write(event.text);
      else if (event.type === 'forgotten') {
        const turns =
          event.turns === 1 ? 'The oldest turn is' : `The ${event.turns} oldest turns are`;
        output.write(dim(`[${turns} forgotten: the context was full.]\n`, output));
      } else output.write(dim(`\n[${endText(event.generation, info, conversation)}]\n`, output));
    }
  } catch (error) {
    bar.clear();
    const failure = toPacelineError(error);
    if (failure.code === 'aborted') output.write(dim('\n[stopped]\n', output));
    else if (failure.code === 'internal' || failure.code === 'disposed') throw failure;
    else output.write(`\nerror: ${failure.message}\n${failure.hint ?? ''}\n`);
  } finally {
    process.off('SIGINT', onInterrupt);
    gate.open();
  }
}

function endText(generation: Generation, info: ModelInfo, { maxTokens }: Conversation): string {
  const cut =
    generation.finishReason === 'abort' ? 'stopped' : cutText(generation, info, maxTokens);
  return [summaryLine(generation), ...(cut === undefined ? [] : [cut])].join(' · ');
}
