/**
 * The chat on a terminal: a prompt with history, streamed answers, slash commands. Ctrl-C stops the
 * answer; at the prompt it clears the line, and a second one leaves with 130.
 */
import { createInterface, type Interface } from 'node:readline';
import { PacelineError } from '../../base/errors.js';
import type { ModelInfo } from '../../engine/types.js';
import type { ModelLike } from '../engine.js';
import { toPacelineError } from '../failure.js';
import { dim } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { printable } from '../table.js';
import { summaryLine } from '../text-report.js';
import { Conversation, type ConversationSettings } from './conversation.js';
import { readHistory, writeHistory } from './history.js';
import { KeyGate, type KeySource } from './key-gate.js';
import { slash } from './slash.js';

/** The streams of the chat; tests give their own. */
export interface ChatStreams {
  readonly input: KeySource;
  readonly output: NodeJS.WriteStream;
  readonly history?: { readonly read: () => string[]; readonly write: (h: string[]) => void };
}

type Line =
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'end' }
  | { readonly kind: 'leave' };

/** Lines of a readline interface as a queue, so that pasted lines wait for their turn. */
class LineReader {
  readonly #readline: Interface;
  readonly #queue: Line[] = [];
  #waiting: ((line: Line) => void) | undefined;
  #warned = false;

  constructor(readline: Interface, output: NodeJS.WriteStream) {
    this.#readline = readline;
    readline.on('line', (text) => {
      this.#warned = false;
      this.#push({ kind: 'line', text });
    });
    readline.on('close', () => this.#push({ kind: 'end' }));
    readline.on('SIGINT', () => {
      if (this.#warned) {
        this.#push({ kind: 'leave' });
        return;
      }
      this.#warned = true;
      readline.write(null, { ctrl: true, name: 'e' });
      readline.write(null, { ctrl: true, name: 'u' });
      output.write(dim('\n(Ctrl-C again leaves, /help lists the commands)\n', output));
      readline.prompt();
    });
  }

  #push(line: Line): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#queue.push(line);
    else waiting(line);
  }

  /** Shows the prompt and waits for a line; a line that ends in a backslash goes on. */
  async next(): Promise<Line> {
    let text = '';
    for (;;) {
      this.#readline.setPrompt(text === '' ? '> ' : '… ');
      const queued = this.#queue.shift();
      if (queued === undefined) this.#readline.prompt();
      const line =
        queued ??
        (await new Promise<Line>((resolve) => {
          this.#waiting = resolve;
        }));
      if (line.kind !== 'line') return line;
      if (!line.text.endsWith('\\')) return { kind: 'line', text: text + line.text };
      text += `${line.text.slice(0, -1)}\n`;
    }
  }
}

function banner(info: ModelInfo, chat: boolean): string {
  const name = printable(info.name ?? info.path);
  const kind = chat ? 'Type a message.' : 'A base model: it continues what you type.';
  return `${name} (${info.architecture}, ${info.kernels}, ${info.threads} threads)\n${kind} /help lists the commands, Ctrl-D leaves.\n`;
}

/** A base model goes on for ever: in a chat it gets this many tokens a turn unless told otherwise. */
const continuationTokens = 128;

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
  const options = settings.chat
    ? settings.options
    : { maxTokens: continuationTokens, ...settings.options };
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
  const reader = new LineReader(readline, output);
  output.write(dim(banner(model.info, settings.chat), output));
  try {
    for (;;) {
      const line = await reader.next();
      if (line.kind === 'leave') throw new PacelineError('aborted', 'Left with Ctrl-C');
      if (line.kind === 'end') {
        output.write('\n');
        return;
      }
      if (line.text.trim() === '') continue;
      if (line.text.startsWith('/')) {
        const result = await slash(line.text, conversation);
        if (result.exit === true) return;
        output.write(`${result.say}\n`);
      } else {
        await answer(conversation, line.text, gate, output);
      }
    }
  } finally {
    readline.close();
    gate.release();
    (streams.history?.write ?? writeHistory)(kept);
    await conversation.dispose();
  }
}

/** Streams one answer; Ctrl-C meanwhile stops it. A failed turn is reported, the chat goes on. */
async function answer(
  conversation: Conversation,
  text: string,
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
      else {
        const stopped = event.generation.finishReason === 'abort' ? ' · stopped' : '';
        output.write(dim(`\n[${summaryLine(event.generation)}${stopped}]\n`, output));
      }
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
