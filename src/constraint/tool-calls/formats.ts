/**
 * The table of tool-call formats, which one a chat template uses, and parsers of generated text.
 */

import type { Tool, ToolFormatName } from '../spec.js';
import { deepseekV3, deepseekV4, deepseekV31 } from './deepseek.js';
import { CallEvents, type ToolCallEvent } from './events.js';
import type { ToolFormat } from './format.js';
import { gemma4 } from './gemma4.js';
import { harmony } from './harmony.js';
import { hermes } from './hermes.js';
import { llama3 } from './llama3.js';
import { mistral, mistralList } from './mistral.js';
import { qwenXml } from './qwen-xml.js';
import { type Reading, TextReader } from './reader.js';

/** In the order in which templates are asked; the marks of later ones may occur in earlier ones. */
const formats: readonly ToolFormat[] = [
  ...[deepseekV4, deepseekV3, deepseekV31, gemma4, harmony, qwenXml],
  ...[hermes, mistral, mistralList, llama3],
];

export function toolFormat(name: ToolFormatName): ToolFormat {
  const found = formats.find((format) => format.name === name);
  if (!found) throw new Error(`No tool-call format ${name}`);
  return found;
}

/** The format that the source of a chat template uses; undefined: none that is known. */
export function detectToolFormat(template: string): ToolFormatName | undefined {
  return formats.find((format) => format.detect(template))?.name;
}

export interface ToolCallParser {
  /** What has become certain with more text. Special tokens have to be in it as their texts. */
  push(text: string): readonly ToolCallEvent[];
  /** What is left at the end of the text. */
  finish(): readonly ToolCallEvent[];
}

/**
 * A parser of generated text. Marks of the format never come out as text; a partial one is held back
 * until it is one or not. The arguments of a call are one JSON object in the end.
 * @param tools needed by the formats that write texts without quotes
 */
export function createToolCallParser(
  name: ToolFormatName,
  tools: readonly Tool[] = [],
): ToolCallParser {
  const reader = new TextReader();
  const events = new CallEvents();
  const reading: Reading<void> = toolFormat(name).read(reader, events, tools);
  return {
    push: (text) => {
      reader.feed(text);
      reading.next();
      return events.drain();
    },
    finish: () => {
      reader.end();
      reading.next();
      events.finish();
      return events.drain();
    },
  };
}
