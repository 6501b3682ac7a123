/**
 * Hermes, Qwen 2.5 and Qwen 3: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, one block
 * a call.
 */
import type { CallEvents } from './events.js';
import { sequenceOfCalls, type ToolFormat } from './format.js';
import { jsonCall, readJsonCall } from './json-call.js';
import type { Reading, TextReader } from './reader.js';

const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';

export const hermes: ToolFormat = {
  name: 'hermes',
  detect: (template) => template.includes(OPEN) && !template.includes('<function='),
  opening: OPEN,
  calls(writer, tools, parallel) {
    const { language, marks, space } = writer;
    const close = marks.mark(CLOSE);
    const calls = tools.map((tool) =>
      language.concat(space, jsonCall(writer, tool, 'arguments'), space, close),
    );
    return sequenceOfCalls(writer, calls, language.concat(space, marks.mark(OPEN)), parallel);
  },
  *read(reader: TextReader, events: CallEvents): Reading<void> {
    while ((yield* reader.until([OPEN], (text) => events.text(text))) !== undefined) {
      reader.mark(OPEN);
      yield* reader.skipSpace();
      const whole = yield* readJsonCall(reader, events);
      if (!whole) yield* reader.until([CLOSE], () => {});
      else {
        yield* reader.skipSpace();
        yield* reader.accept(CLOSE);
      }
      events.end(reader.raw, whole);
    }
  },
};
