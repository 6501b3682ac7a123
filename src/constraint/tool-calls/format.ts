/**
 * What a tool-call format is: how calls are written (a language), how they are read from text that
 * arrives, and how a chat template shows that it uses the format.
 */
import type { Language } from '../core/derivatives.js';
import type { ObjectNotation } from '../schema/notation.js';
import type { Tool, ToolFormatName } from '../spec.js';
import type { Marks } from '../tokens/marks.js';
import type { CallEvents } from './events.js';
import type { Reading, TextReader } from './reader.js';

/** What a format writes calls with. */
export interface CallWriter {
  readonly language: Language;
  readonly marks: Marks;
  /** At most one short run of white space. */
  readonly space: number;
  /** The arguments of a tool as a JSON object. */
  argumentsOf(tool: Tool): number;
  /** The arguments in Gemma's notation. */
  gemmaArgumentsOf(tool: Tool): number;
  /** The arguments one by one, strings as they are and other values as JSON. */
  elementsOf(tool: Tool, notation: ObjectNotation, element: ElementNotation): number;
}

/** How the value of one argument is written, with what ends it. */
export interface ElementNotation {
  /** What ends the value; no text may contain it. */
  readonly end: string;
  /** What stands before a text, and before any other value. */
  readonly beforeText: number;
  readonly beforeJson: number;
}

/** What a whole text may be made of. */
export interface WholeText {
  readonly writer: CallWriter;
  readonly tools: readonly Tool[];
  readonly choice: 'free' | 'auto' | 'required';
  /** The language of an answer without calls; undefined: any text. */
  readonly answer: number | undefined;
}

export interface ToolFormat {
  readonly name: ToolFormatName;
  /** Whether the source of a chat template uses the format. */
  detect(template: string): boolean;
  /** The mark with which calls begin. */
  readonly opening: string;
  /** What follows the opening mark, up to the end of the last call. */
  calls(writer: CallWriter, tools: readonly Tool[], parallel: boolean): number;
  /** The whole text, where it is more than free text and calls. */
  text?(options: WholeText): number;
  /** Reads a whole text. */
  read(reader: TextReader, events: CallEvents, tools: readonly Tool[]): Reading<void>;
}

/** One of several calls, and with `parallel` any number of further ones. */
export function sequenceOfCalls(
  { language }: CallWriter,
  calls: readonly number[],
  between: number,
  parallel: boolean,
): number {
  const one = language.either(calls);
  return parallel ? language.concat(one, language.repeat(language.concat(between, one), 0)) : one;
}
