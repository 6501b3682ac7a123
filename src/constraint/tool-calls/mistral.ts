/**
 * Mistral's two formats: `[TOOL_CALLS]name[ARGS]{...}` for each call (with `[CALL_ID]` in between in
 * some versions), and before that `[TOOL_CALLS][{"name": ..., "arguments": {...}}, ...]`.
 */
import { ByteSet } from '../core/symbols.js';
import type { CallEvents } from './events.js';
import { sequenceOfCalls, type ToolFormat } from './format.js';
import { jsonCall, readJsonCall } from './json-call.js';
import type { Reading, TextReader } from './reader.js';

const OPEN = '[TOOL_CALLS]';
const ARGUMENTS = '[ARGS]';
const ID = '[CALL_ID]';
const ID_LENGTH = 9;

export const mistral: ToolFormat = {
  name: 'mistral',
  detect: (template) => template.includes(OPEN) && template.includes(ARGUMENTS),
  opening: OPEN,
  calls(writer, tools, parallel) {
    const { language, marks } = writer;
    const letters = language.set(ByteSet.of([0x30, 0x39], [0x41, 0x5a], [0x61, 0x7a]));
    const id = language.concat(marks.mark(ID), language.repeat(letters, ID_LENGTH, ID_LENGTH));
    const calls = tools.map((tool) =>
      language.concat(
        language.literal(tool.name),
        language.optional(id),
        marks.mark(ARGUMENTS),
        writer.argumentsOf(tool),
      ),
    );
    return sequenceOfCalls(writer, calls, marks.mark(OPEN), parallel);
  },
  *read(reader: TextReader, events: CallEvents): Reading<void> {
    while ((yield* reader.until([OPEN], (text) => events.text(text))) !== undefined) {
      reader.mark(OPEN);
      let name = '';
      let mark = yield* reader.until([ARGUMENTS, ID, OPEN], (text) => {
        name += text;
      });
      if (mark === ID) mark = yield* reader.until([ARGUMENTS], () => {});
      if (mark !== ARGUMENTS) {
        events.end(reader.raw, false);
        continue;
      }
      events.start(name.trim());
      yield* reader.skipSpace();
      const whole = yield* reader.json((json) => events.delta(json));
      events.end(reader.raw, whole);
    }
  },
};

export const mistralList: ToolFormat = {
  name: 'mistral-list',
  detect: (template) => template.includes(OPEN) && !template.includes(ARGUMENTS),
  opening: OPEN,
  calls(writer, tools, parallel) {
    const { language, space } = writer;
    const comma = language.concat(space, language.literal(','), space);
    const calls = sequenceOfCalls(
      writer,
      tools.map((tool) => jsonCall(writer, tool, 'arguments')),
      comma,
      parallel,
    );
    return language.concat(
      space,
      language.literal('['),
      space,
      calls,
      space,
      language.literal(']'),
    );
  },
  *read(reader: TextReader, events: CallEvents): Reading<void> {
    while ((yield* reader.until([OPEN], (text) => events.text(text))) !== undefined) {
      reader.mark(OPEN);
      yield* reader.skipSpace();
      let whole = yield* reader.accept('[');
      while (whole) {
        yield* reader.skipSpace();
        if (yield* reader.accept(']')) break;
        whole = yield* readJsonCall(reader, events);
        yield* reader.skipSpace();
        const last = !(yield* reader.accept(',')) && (yield* reader.accept(']'));
        events.end(reader.raw, whole);
        reader.mark();
        if (last || reader.atEnd) break;
      }
      if (!whole) {
        yield* reader.until([OPEN], () => {});
        events.end(reader.raw, false);
      }
    }
  },
};
