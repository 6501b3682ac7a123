/** A whole text out of its events, for answers that are not streamed and for what streams add up to. */
import { PacelineError } from '../base/errors.js';
import {
  type ChoiceEnd,
  type StartEvent,
  type TextEvent,
  type TokenProbability,
  withStart,
} from './events.js';

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text. */
  arguments: string;
}

/** Pieces of one choice in the order in which they came. */
export type ResultPart =
  | { readonly type: 'text'; text: string }
  | { readonly type: 'reasoning'; text: string }
  | { readonly type: 'tool'; readonly call: ToolCall };

export interface ChoiceResult {
  readonly parts: readonly ResultPart[];
  readonly text: string;
  readonly reasoning: string;
  readonly toolCalls: readonly ToolCall[];
  readonly logprobs: readonly TokenProbability[];
  readonly end: ChoiceEnd;
}

export interface TextResult {
  readonly start: StartEvent;
  readonly choices: readonly ChoiceResult[];
}

/** Takes events one by one; `result` may be read when the stream has ended. */
export class ResultBuilder {
  #start: StartEvent | undefined;
  readonly #choices: { parts: ResultPart[]; logprobs: TokenProbability[]; end?: ChoiceEnd }[] = [];

  add(event: TextEvent): void {
    if (event.type === 'start') this.#start = withStart(this.#start, event);
    if (event.type === 'start' || event.type === 'progress') return;
    while (this.#choices.length <= event.choice) this.#choices.push({ parts: [], logprobs: [] });
    const choice = this.#choices[event.choice];
    if (choice === undefined) return;
    const { parts } = choice;
    const last = parts.at(-1);
    switch (event.type) {
      case 'text':
      case 'reasoning':
        if (event.type === 'text') choice.logprobs.push(...(event.logprobs ?? []));
        if (event.text === '') break;
        if (last?.type === event.type) last.text += event.text;
        else parts.push({ type: event.type, text: event.text });
        break;
      case 'tool-start':
        parts.push({ type: 'tool', call: { id: event.id, name: event.name, arguments: '' } });
        break;
      case 'tool-arguments':
        if (last?.type === 'tool') last.call.arguments += event.text;
        break;
      case 'tool-end':
        break;
      case 'end':
        choice.end = event;
    }
  }

  /** @throws {PacelineError} `internal` when the stream has not ended. */
  get result(): TextResult {
    if (this.#start === undefined) throw unfinished();
    return {
      start: this.#start,
      choices: this.#choices.map(({ parts, logprobs, end }) => {
        if (end === undefined) throw unfinished();
        const join = (type: 'text' | 'reasoning'): string =>
          parts.map((part) => (part.type === type ? part.text : '')).join('');
        return {
          parts,
          text: join('text'),
          reasoning: join('reasoning'),
          toolCalls: parts.flatMap((part) => (part.type === 'tool' ? [part.call] : [])),
          logprobs,
          end,
        };
      }),
    };
  }
}

function unfinished(): PacelineError {
  return new PacelineError('internal', 'A stream ended without a result');
}
