/**
 * From the chunks of an upstream's stream to our events, for one text. Everything in a chunk is a
 * stranger's: types are checked, sizes bounded, and what breaks the protocol ends the text with an
 * error. Knows no transport.
 */
import { PacelineError } from '../../base/errors.js';
import { isRecord } from '../../base/records.js';
import type { ChoiceEnd, EndReason, TextEvent, TokenProbability } from '../../chat/events.js';
import { ReasoningSplitter } from '../../chat/reasoning.js';
import { createToolCallParser, type ToolCallParser } from '../../constraint/tool-calls/formats.js';
import { StopText } from '../../decode/stop.js';
import { CallReader } from './calls.js';
import { AnswerCounts } from './counts.js';
import { probabilitiesOf } from './probabilities.js';
import type { Reading } from './request.js';
import { fieldOf, listOf, textOf } from './values.js';

export interface AnswerOptions {
  readonly reading: Reading;
  readonly choice: number;
  readonly seed: number | undefined;
  /** What the end says of who answered. */
  readonly engine: string;
  /** What a broken protocol throws. */
  readonly broken: (what: string) => PacelineError;
}

/** Characters of one text with its thought and its calls. */
const mostCharacters = 64 * 2 ** 20;
/** Of an upstream's warnings so many are told. */
const mostWarnings = 32;

/** Reasons of an end that is none of the text's. */
const givenUp: ReadonlySet<string> = new Set(['abort', 'error']);

export class AnswerReader {
  readonly #options: AnswerOptions;
  readonly #counts = new AnswerCounts();
  readonly #stops: StopText;
  readonly #thought: ReasoningSplitter | undefined;
  readonly #calls: CallReader;
  /** Reads a call that comes as JSON text. */
  readonly #written: ToolCallParser | undefined;
  #events: TextEvent[] = [];
  #started = false;
  #characters = 0;
  /** The text as a whole, where it has to be checked or read as a whole. */
  #whole = '';
  #unsent: TokenProbability[] = [];
  #finish: string | undefined;
  #stopText: string | undefined;
  /** What the upstream says that it could not honour as a whole. */
  #warnings: readonly string[] = [];
  /** A stop string of ours was found: the rest is not wanted. */
  cut = false;

  constructor(options: AnswerOptions) {
    this.#options = options;
    const { reading, choice, broken } = options;
    this.#stops = new StopText(reading.stops);
    if (reading.chat) {
      this.#thought = new ReasoningSplitter(
        { open: '<think>', close: '</think>' },
        { opened: false },
      );
    }
    const emit = (event: TextEvent): void => this.#emit(event);
    this.#calls = new CallReader({ choice, tools: reading.tools, emit, broken });
    if (reading.kind === 'call') {
      this.#written = createToolCallParser('hermes');
      this.#written.push('<tool_call>\n');
    }
  }

  /** Whether the upstream has said how the text ended. */
  get finished(): boolean {
    return this.#finish !== undefined || this.cut;
  }

  /** Calls that were made, for checks. */
  get calls() {
    return this.#calls.calls;
  }

  /** The whole text, for checks; empty where none has to be checked. */
  get whole(): string {
    return this.#whole;
  }

  /** @throws {PacelineError} what `broken` makes of a chunk that breaks the protocol */
  push(chunk: unknown): readonly TextEvent[] {
    const { broken, choice: number } = this.#options;
    if (!isRecord(chunk)) throw broken('a chunk is no object');
    if (isRecord(chunk.error) || typeof chunk.error === 'string') {
      const error = isRecord(chunk.error) ? textOf(chunk.error.message) : textOf(chunk.error);
      throw broken(`it failed: ${error.slice(0, 500)}`);
    }
    this.#counts.read(chunk);
    const warnings = listOf(chunk.warnings)
      .map(textOf)
      .filter((text) => text !== '');
    if (warnings.length > 0) this.#warnings = warnings.slice(0, mostWarnings);
    const progress = fieldOf(fieldOf(chunk, 'details'), 'prefill');
    if (isRecord(progress) && number === 0 && this.#started) {
      const [done, total] = [Number(progress.done), Number(progress.total)];
      if (done >= 0 && total >= done) this.#emit({ type: 'progress', done, total });
    }
    if (this.#counts.promptTokens !== undefined) this.#start();
    const choices = listOf(chunk.choices);
    if (choices.length > 1) throw broken('it answered with several texts where one was asked for');
    const choice = choices[0];
    if (isRecord(choice)) this.#choice(choice);
    return this.#drain();
  }

  /**
   * What was held back, and the end.
   * @throws {PacelineError} `network` for a stream that ended in its middle
   */
  finish(): readonly TextEvent[] {
    const { reading, choice, seed, engine } = this.#options;
    this.#start();
    this.#end();
    const { timings, draft, prompt } = this.#counts.ending();
    const calls = this.#calls.calls.length;
    const reason = this.#reason(calls);
    if (this.#unsent.length > 0 && calls === 0) {
      this.#emit({ type: 'text', choice, text: '', logprobs: this.#unsent });
    }
    const warnings = [
      ...this.#warnings,
      ...(this.#finish === 'content_filter' ? ['The upstream’s filter ended the text.'] : []),
    ];
    const end: ChoiceEnd = {
      type: 'end',
      choice,
      reason,
      ...(this.#stopText === undefined ? {} : { stopText: this.#stopText }),
      tokens: reading.empty ? 0 : this.#counts.tokens,
      reasoningTokens: this.#counts.reasoningTokens,
      seed: seed ?? -1,
      ...(warnings.length > 0 ? { warnings } : {}),
      timings,
      draft,
      ...(choice === 0 ? { prompt } : {}),
      engine,
    };
    this.#emit(end);
    return this.#drain();
  }

  /** How the text ended; valid after `finish` or when `finished`. */
  get endReason(): EndReason {
    return this.#reason(this.#calls.calls.length);
  }

  #reason(calls: number): EndReason {
    if (this.#finish === 'length' && this.#stopText === undefined) return 'length';
    if (this.#options.reading.empty) return 'length';
    if (calls > 0) return 'tool-calls';
    return this.#stopText === undefined ? 'stop' : 'stop-text';
  }

  #choice(choice: Readonly<Record<string, unknown>>): void {
    if (this.finished) return;
    const delta = isRecord(choice.delta) ? choice.delta : choice;
    const thought = textOf(delta.reasoning_content) || textOf(delta.reasoning);
    const text = textOf(delta.content) || textOf(delta.text);
    this.#measure(thought.length + text.length);
    if (thought !== '') {
      this.#counts.said(true);
      this.#start();
      this.#emit({ type: 'reasoning', choice: this.#options.choice, text: thought });
    } else {
      this.#unsent.push(...ofText(probabilitiesOf(choice.logprobs), text, choice.finish_reason));
    }
    if (text !== '') {
      this.#counts.said(false);
      this.#start();
      this.#text(text);
    }
    const calls = listOf(delta.tool_calls);
    if (calls.length > 0) {
      this.#counts.said(false);
      this.#start();
      // What is held back of the text comes before the calls.
      this.#flushText();
      for (const call of calls) this.#measure(this.#calls.push(call));
    }
    const finish = choice.finish_reason;
    if (typeof finish === 'string' && finish !== '') {
      // vLLM and SGLang end texts so that they gave up themselves, as when they stop.
      if (givenUp.has(finish)) throw this.#options.broken(`it gave the text up (${finish})`);
      this.#finish = finish;
      const stop = choice.stop_reason ?? choice.matched_stop;
      if (typeof stop === 'string' && finish === 'stop') this.#stopText = stop;
    }
  }

  #text(text: string): void {
    if (this.#options.reading.empty) return;
    const { text: shown, stop } = this.#stops.push(text);
    this.#show(shown);
    if (stop !== undefined) {
      this.#stopText = stop;
      this.cut = true;
    }
  }

  #show(text: string): void {
    if (text === '') return;
    const pieces = this.#thought?.push(text) ?? [{ type: 'text', text } as const];
    for (const piece of pieces) this.#piece(piece);
  }

  #piece(piece: { readonly type: 'text' | 'reasoning'; readonly text: string }): void {
    const { choice, reading } = this.#options;
    if (piece.text === '') return;
    if (piece.type === 'reasoning') {
      this.#counts.thought();
      this.#unsent = [];
      this.#emit({ ...piece, choice });
      return;
    }
    if (reading.format !== undefined || reading.kind !== 'text') this.#whole += piece.text;
    if (reading.kind === 'text') this.#say(piece.text);
    else if (this.#written !== undefined) this.#writtenCall(this.#written.push(piece.text));
  }

  #say(text: string): void {
    const logprobs = this.#unsent.splice(0);
    const { choice } = this.#options;
    this.#emit({ type: 'text', choice, text, ...(logprobs.length > 0 ? { logprobs } : {}) });
  }

  #writtenCall(events: ReturnType<ToolCallParser['push']>): void {
    for (const event of events) {
      if (event.type === 'tool-call-start') this.#calls.begin(event.name);
      else if (event.type === 'arguments-delta') this.#calls.add(event.json);
    }
  }

  #flushText(): void {
    if (this.cut) return;
    this.#show(this.#stops.flush());
    for (const piece of this.#thought?.flush() ?? []) this.#piece(piece);
  }

  #end(): void {
    const { broken, reading } = this.#options;
    if (!this.finished) throw broken('the stream ended in its middle');
    this.#flushText();
    if (this.#written !== undefined) {
      this.#writtenCall(this.#written.push('\n</tool_call>'));
      this.#writtenCall(this.#written.finish());
    }
    if (this.#finish !== 'length') this.#readWhole(reading.kind);
    this.#calls.close();
  }

  /** Reads what had to come as a whole. */
  #readWhole(kind: Reading['kind']): void {
    if (kind !== 'choice' && kind !== 'call-or-answer') return;
    let value: unknown;
    try {
      value = JSON.parse(this.#whole);
    } catch {
      throw notHeld('the upstream was held to JSON and answered with other text');
    }
    if (kind === 'choice') {
      this.#whole = typeof value === 'string' ? value : this.#whole;
      this.#say(this.#whole);
    } else if (isRecord(value) && typeof value.name === 'string') {
      this.#whole = '';
      this.#calls.begin(value.name);
      this.#calls.add(JSON.stringify(value.arguments ?? {}));
    } else {
      this.#whole = JSON.stringify(isRecord(value) ? value.answer : value);
      this.#say(this.#whole);
    }
  }

  #start(): void {
    if (this.#started) return;
    this.#started = true;
    const { promptTokens = 0, cachedTokens } = this.#counts;
    this.#emit({ type: 'start', promptTokens, cachedTokens });
  }

  #measure(characters: number): void {
    this.#characters += characters;
    if (this.#characters > mostCharacters) {
      throw this.#options.broken(`a text has more than ${mostCharacters} characters`);
    }
  }

  #emit(event: TextEvent): void {
    this.#events.push(event);
  }

  #drain(): readonly TextEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}

/** Without the token that ended the text, which some backends tell of and which is no part of it. */
function ofText(
  tokens: readonly TokenProbability[],
  text: string,
  finish: unknown,
): readonly TokenProbability[] {
  const last = tokens.at(-1);
  if (last === undefined || (finish !== 'stop' && finish !== 'tool_calls')) return tokens;
  return last.text !== '' && text.endsWith(last.text) ? tokens : tokens.slice(0, -1);
}

/** The backend did not do what it was held to. */
export function notHeld(what: string): PacelineError {
  return new PacelineError('check-failed', `The answer was refused: ${what}`, {
    hint: 'Ask for less at once, or use a backend that can be held to it.',
  });
}
