/**
 * Messages from a line editor: one line, several lines between `"""`, lines that end in a backslash,
 * or a paste. Lines that come while nobody waits are queued. Ctrl-C drops what was begun.
 */
import type { Interface } from 'node:readline';
import { dim } from '../output.js';
import type { Pastes } from './pastes.js';

/** What a person did at the prompt. */
export type Input =
  /** `literal`: it was put between quotes, and is no command whatever it begins with. */
  | { readonly kind: 'text'; readonly text: string; readonly literal?: boolean }
  | { readonly kind: 'end' }
  | { readonly kind: 'leave' };

type Line = Input | { readonly kind: 'cancel' };

/** Begins and ends a text of several lines. */
const fence = '"""';

export class LineReader {
  readonly #readline: Interface;
  readonly #pastes: Pastes;
  readonly #queue: Line[] = [];
  #waiting: ((line: Line) => void) | undefined;
  #warned = false;

  constructor(readline: Interface, output: NodeJS.WriteStream, pastes: Pastes) {
    this.#readline = readline;
    this.#pastes = pastes;
    readline.on('line', (text) => {
      this.#warned = false;
      this.#push({ kind: 'text', text });
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
      this.#push({ kind: 'cancel' });
    });
  }

  #push(line: Line): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#queue.push(line);
    else waiting(line);
  }

  async #line(prompt: string): Promise<Line> {
    this.#readline.setPrompt(prompt);
    const queued = this.#queue.shift();
    if (queued !== undefined) return queued;
    this.#readline.prompt();
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  /** Shows the prompt and waits for a message, a command, or the wish to leave. */
  async next(): Promise<Input> {
    let parts: string[] = [];
    let fenced = false;
    for (;;) {
      const line = await this.#line(parts.length === 0 && !fenced ? '> ' : '… ');
      if (line.kind === 'cancel') {
        parts = [];
        fenced = false;
        continue;
      }
      if (line.kind !== 'text') return line;
      let text = this.#pastes.expand(line.text);
      if (!fenced && parts.length === 0 && text.startsWith(fence)) {
        fenced = true;
        text = text.slice(fence.length);
        if (text === '') continue;
      }
      if (fenced && text.endsWith(fence)) {
        const last = text.slice(0, -fence.length);
        const all = [...parts, ...(last === '' ? [] : [last])];
        return { kind: 'text', text: all.join('\n'), literal: true };
      }
      if (!fenced && !text.endsWith('\\')) {
        return { kind: 'text', text: [...parts, text].join('\n') };
      }
      parts.push(fenced ? text : text.slice(0, -1));
    }
  }
}
