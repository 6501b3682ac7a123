/**
 * Reads the tokens of one text: what is thought, what is answer, what is a call of a tool. Marks of
 * any of them never come out as text, and neither does a part of a stop string. The result does not
 * depend on how many tokens come at once.
 */
import { randomBytes } from 'node:crypto';
import type { ToolFormatName } from '../constraint/spec.js';
import type { ToolCallEvent } from '../constraint/tool-calls/events.js';
import { createToolCallParser, type ToolCallParser } from '../constraint/tool-calls/formats.js';
import { StopText } from '../decode/stop.js';
import { StreamingDetokenizer } from '../tokenizer/detokenizer.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { TextEvent } from './events.js';
import { type ReasoningMarks, type ReasoningPiece, ReasoningSplitter } from './reasoning.js';
import type { ToolDefinition } from './request.js';

export interface OutputOptions {
  readonly tokenizer: Tokenizer;
  readonly choice: number;
  readonly stop: readonly string[];
  readonly thought: { readonly marks: ReasoningMarks; readonly opened: boolean } | undefined;
  /** How calls and channels are written; undefined: there are none. */
  readonly format: ToolFormatName | undefined;
  readonly tools: readonly ToolDefinition[];
  readonly emit: (event: TextEvent) => void;
  /** Hears the text that became certain by each token, before anything of it is shown. */
  readonly onToken?: ((text: string) => void) | undefined;
}

export class OutputReader {
  readonly #options: OutputOptions;
  readonly #detokenizer: StreamingDetokenizer;
  readonly #stops: StopText;
  readonly #thought: ReasoningSplitter | undefined;
  readonly #calls: ToolCallParser | undefined;
  /** Tokens that were thought, the marks included. */
  reasoningTokens = 0;
  /** Calls that are complete. */
  completeCalls = 0;
  /** The stop string that was found. */
  stopText: string | undefined;

  constructor(options: OutputOptions) {
    this.#options = options;
    const { tokenizer, stop, thought, format, tools } = options;
    this.#detokenizer = new StreamingDetokenizer(tokenizer, [], { unparseSpecial: true });
    this.#stops = new StopText(stop);
    this.#thought = thought && new ReasoningSplitter(thought.marks, { opened: thought.opened });
    const declared = tools.map(({ name, parameters }) => ({
      name,
      parameters: parameters as never,
    }));
    this.#calls = format && createToolCallParser(format, declared);
  }

  /** Whether no thought can come any more. */
  get answers(): boolean {
    return this.#thought === undefined || this.#thought.answers;
  }

  push(tokens: readonly number[]): void {
    for (const token of tokens) {
      const thinks = !this.answers;
      const said = this.#textOf(token);
      this.#options.onToken?.(said);
      const { text, stop } = this.#stops.push(said);
      this.#show(text);
      if (stop !== undefined) this.stopText = stop;
      if (thinks && !this.answers) this.reasoningTokens += 1;
    }
  }

  /** Ends a thought that has used up its budget; `tokens` were needed to say so. */
  closeThought(tokens: number): void {
    this.reasoningTokens += tokens;
    // Half a character at the end of a thought is not the beginning of the answer.
    this.#show(this.#detokenizer.flush());
    for (const piece of this.#thought?.close() ?? []) this.#pieces([piece]);
  }

  /** Shows what was held back, at the end of the text. */
  finish(): void {
    const rest =
      this.stopText === undefined ? this.#stops.push(this.#detokenizer.flush()).text : '';
    this.#show(rest + this.#stops.flush());
    this.#pieces(this.#thought?.flush() ?? []);
    if (this.#calls !== undefined) this.#say(this.#calls.finish());
  }

  /** The token's text; control tokens that mean nothing here have none. */
  #textOf(token: number): string {
    const { tokenizer, thought } = this.#options;
    if (tokenizer.isControl(token)) {
      const text = tokenizer.tokenText(token);
      const { open = '', close = '' } = thought?.marks ?? {};
      const isMark = open.includes(text) || close.includes(text);
      if (!isMark && (this.#calls === undefined || !isToolMark(text))) return '';
    }
    return this.#detokenizer.push(token);
  }

  #show(text: string): void {
    if (text === '') return;
    this.#pieces(this.#thought?.push(text) ?? [{ type: 'text', text }]);
  }

  #pieces(pieces: readonly ReasoningPiece[]): void {
    const { choice, emit } = this.#options;
    for (const piece of pieces) {
      if (piece.text === '') continue;
      if (piece.type === 'text' && this.#calls !== undefined) {
        this.#say(this.#calls.push(piece.text));
      } else {
        emit({ ...piece, choice });
      }
    }
  }

  #say(events: readonly ToolCallEvent[]): void {
    const { choice, emit } = this.#options;
    for (const event of events) {
      switch (event.type) {
        case 'text':
        case 'reasoning':
          if (event.text !== '') emit({ type: event.type, choice, text: event.text });
          break;
        case 'tool-call-start': {
          const { index, name } = event;
          emit({ type: 'tool-start', choice, index, id: this.#newCallId(), name });
          break;
        }
        case 'arguments-delta':
          emit({ type: 'tool-arguments', choice, index: event.index, text: event.json });
          break;
        case 'tool-call-end':
          if (event.complete) this.completeCalls += 1;
          emit({ type: 'tool-end', choice, index: event.index });
          break;
        case 'malformed':
          // Markup without a name is neither a call nor words for a reader.
          break;
      }
    }
  }

  /** Templates of Mistral refuse ids of any other form when they come back. */
  #newCallId(): string {
    const short = this.#options.format?.startsWith('mistral') === true;
    return short
      ? randomBytes(5).toString('hex').slice(0, 9)
      : `call_${randomBytes(12).toString('hex')}`;
  }
}

/** Control tokens of any of the formats of calls. */
function isToolMark(text: string): boolean {
  const harmony = ['start', 'end', 'message', 'channel', 'constrain', 'call', 'return'];
  return (
    /tool|\[ARGS\]|\[CALL_ID\]|DSML/.test(text) ||
    ['<|python_tag|>', '<|"|>', ...harmony.map((name) => `<|${name}|>`)].includes(text)
  );
}
