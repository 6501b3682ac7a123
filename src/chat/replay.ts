/**
 * What the model said when it called tools, by the ids of the calls: templates write calls in a form
 * of their own (spaces, order of keys), so that a prompt in which they come back would differ from
 * what was computed. A turn that comes back as it was told is put into the prompt as the tokens that
 * were sampled; one that was changed by the client is not. Bounded in number and in tokens; what is
 * forgotten costs time only.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ChatMessage } from '../engine/types.js';
import type { TextEvent } from './events.js';

/** A turn as clients were told of it, and as it was sampled. */
export interface SpokenTurn {
  readonly text: string;
  readonly calls: readonly SpokenCall[];
  /** Of the answer, without thought before and without what ended it. */
  readonly tokens: readonly number[];
}

interface SpokenCall {
  readonly id: string;
  readonly name: string;
  arguments: string;
}

const mostTurns = 4096;
const mostTokens = 2 ** 20;

export class ReplayMemory {
  /** By the id of the first call; the oldest first. */
  readonly #turns = new Map<string, SpokenTurn>();
  #tokens = 0;

  remember(turn: SpokenTurn): void {
    const [first] = turn.calls;
    if (first === undefined) return;
    this.#turns.set(first.id, turn);
    this.#tokens += turn.tokens.length;
    for (const [id, { tokens }] of this.#turns) {
      if (this.#turns.size <= mostTurns && this.#tokens <= mostTokens) break;
      this.#turns.delete(id);
      this.#tokens -= tokens.length;
    }
  }

  /** The turn that a message repeats; undefined: none, or it was changed. */
  find({ role, content, tool_calls: given }: ChatMessage): SpokenTurn | undefined {
    if (role !== 'assistant' || !Array.isArray(given)) return undefined;
    const calls = given as readonly GivenCall[];
    const turn = this.#turns.get(String(calls[0]?.id));
    if (turn === undefined || turn.calls.length !== calls.length) return undefined;
    if (content.trim() !== turn.text.trim()) return undefined;
    const same = turn.calls.every(({ id, name, arguments: text }, index) => {
      const call = calls[index];
      const told = call?.function?.arguments;
      return (
        call?.id === id &&
        call.function?.name === name &&
        (told === text || isDeepStrictEqual(parsed(told), parsed(text)))
      );
    });
    return same ? turn : undefined;
  }
}

interface GivenCall {
  readonly id?: unknown;
  readonly function?: { readonly name?: unknown; readonly arguments?: unknown };
}

function parsed(given: unknown): unknown {
  if (typeof given !== 'string') return given;
  try {
    return JSON.parse(given);
  } catch {
    return given;
  }
}

/** Collects a turn from its events. */
export class TurnRecorder {
  #text = '';
  readonly #calls: SpokenCall[] = [];

  add(event: TextEvent): void {
    const last = this.#calls.at(-1);
    if (event.type === 'text') this.#text += event.text;
    else if (event.type === 'tool-start') {
      this.#calls.push({ id: event.id, name: event.name, arguments: '' });
    } else if (event.type === 'tool-arguments' && last !== undefined) {
      last.arguments += event.text;
    }
  }

  turn(tokens: readonly number[]): SpokenTurn {
    return { text: this.#text, calls: this.#calls, tokens };
  }
}

/** Stands for the turn of this number in a conversation. */
export function markerOf(index: number): string {
  return `\u{f0000}${index}\u{f0001}`;
}

/** Whether a rendered text with markers says the same as one without, but for what they stand for. */
export function differsInMarkersOnly(
  plain: string,
  marked: string,
  markers: readonly string[],
): boolean {
  let at = 0;
  let rest = marked;
  for (const [index, marker] of markers.entries()) {
    const [piece = '', after, more] = rest.split(marker);
    if (after === undefined || more !== undefined) return false;
    const found = plain.indexOf(piece, at);
    if (found < 0 || (index === 0 && found !== 0)) return false;
    at = found + piece.length;
    rest = after;
  }
  return plain.length - rest.length >= at && plain.endsWith(rest);
}
