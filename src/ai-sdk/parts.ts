/**
 * From the engine's events to the parts of the AI SDK: blocks of text and of thought that begin and
 * end, calls whose input comes in pieces and then as a whole. A call that was cut short is closed and
 * not called.
 */
import type { LanguageModelV3StreamPart, LanguageModelV3Text } from '@ai-sdk/provider';
import type { StartEvent, TextEvent } from '../chat/events.js';
import type { ChoiceResult } from '../chat/result.js';
import { finishOf } from './finish.js';

type PartOf<Type extends LanguageModelV3StreamPart['type']> = Extract<
  LanguageModelV3StreamPart,
  { type: Type }
>;

/** The parts that are sent: the same in the interfaces v3 and v4. */
export type Part = PartOf<
  | 'stream-start'
  | 'response-metadata'
  | 'text-start'
  | 'text-delta'
  | 'text-end'
  | 'reasoning-start'
  | 'reasoning-delta'
  | 'reasoning-end'
  | 'tool-input-start'
  | 'tool-input-delta'
  | 'tool-input-end'
  | 'tool-call'
  | 'finish'
  | 'error'
  | 'raw'
>;

/** The content that there is: the same in v3 and v4. */
export type Content =
  | LanguageModelV3Text
  | { readonly type: 'reasoning'; readonly text: string }
  | PartOf<'tool-call'>;

/** Takes the events of one text, in order, and gives the parts that each is. */
export class PartWriter {
  #start: StartEvent | undefined;
  /** The block of text or thought that is open. */
  #open: { readonly type: 'text' | 'reasoning'; readonly id: string } | undefined;
  #blocks = 0;
  #call: { readonly id: string; readonly name: string; input: string } | undefined;

  push(event: TextEvent): readonly Part[] {
    switch (event.type) {
      case 'start':
        this.#start = event;
        return [];
      case 'progress':
        return [];
      case 'text':
      case 'reasoning':
        return event.text === '' ? [] : this.#piece(event.type, event.text);
      case 'tool-start': {
        const { id, name } = event;
        this.#call = { id, name, input: '' };
        return [...this.#close(), { type: 'tool-input-start', id, toolName: name }];
      }
      case 'tool-arguments': {
        if (this.#call === undefined || event.text === '') return [];
        this.#call.input += event.text;
        return [{ type: 'tool-input-delta', id: this.#call.id, delta: event.text }];
      }
      case 'tool-end':
        return this.#endCall();
      case 'end': {
        const start = this.#start ?? { type: 'start', promptTokens: 0, cachedTokens: 0 };
        return [...this.#close(), { type: 'finish', ...finishOf(start, event) }];
      }
    }
  }

  #piece(type: 'text' | 'reasoning', text: string): readonly Part[] {
    if (this.#open?.type === type)
      return [{ type: `${type}-delta`, id: this.#open.id, delta: text }];
    const before = this.#close();
    const id = String(this.#blocks++);
    this.#open = { type, id };
    return [...before, { type: `${type}-start`, id }, { type: `${type}-delta`, id, delta: text }];
  }

  #close(): readonly Part[] {
    if (this.#open === undefined) return [];
    const { type, id } = this.#open;
    this.#open = undefined;
    return [{ type: `${type}-end`, id }];
  }

  #endCall(): readonly Part[] {
    if (this.#call === undefined) return [];
    const { id, name, input } = this.#call;
    this.#call = undefined;
    const end = { type: 'tool-input-end', id } as const;
    if (!isJson(input)) return [end];
    return [end, { type: 'tool-call', toolCallId: id, toolName: name, input }];
  }
}

/** A whole text as the SDK's content. */
export function contentOf({ parts }: ChoiceResult): Content[] {
  return parts.flatMap((part): Content[] => {
    if (part.type !== 'tool') return [{ type: part.type, text: part.text }];
    const { id, name, arguments: input } = part.call;
    return isJson(input) ? [{ type: 'tool-call', toolCallId: id, toolName: name, input }] : [];
  });
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
