/**
 * Qwen 3 Coder and Qwen 3.5: `<tool_call><function=name><parameter=key>value</parameter></function>
 * </tool_call>`, each part on a line of its own.
 */

import { EMPTY } from '../core/expressions.js';
import type { Tool } from '../spec.js';
import { plainCharacters } from '../text/utf8.js';
import { elementKind, MemberDeltas, readElement } from './elements.js';
import type { CallEvents } from './events.js';
import { type CallWriter, sequenceOfCalls, type ToolFormat } from './format.js';
import type { Reading, TextReader } from './reader.js';

const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';
const END_VALUE = '\n</parameter>\n';
const END_FUNCTION = '</function>';

function writeCall(writer: CallWriter, tool: Tool): number {
  const { language, marks } = writer;
  const name = plainCharacters(language, [
    [0x21, 0x3d],
    [0x3f, 0x7e],
    [0xa0, 0x10ffff],
  ]);
  const close = language.literal(END_FUNCTION);
  const members = writer.elementsOf(
    tool,
    {
      open: EMPTY,
      first: EMPTY,
      between: EMPTY,
      close,
      closeEmpty: close,
      key: (key) => new TextEncoder().encode(`<parameter=${key}>\n`),
      keyOf: (content) =>
        language.concat(
          language.literal('<parameter='),
          language.both([content, language.repeat(name, 1, 64)]),
          language.literal('>\n'),
        ),
      colon: EMPTY,
      afterValue: EMPTY,
    },
    { end: END_VALUE, beforeText: EMPTY, beforeJson: EMPTY },
  );
  return language.concat(
    language.literal(`\n<function=${tool.name}>\n`),
    members,
    language.literal('\n'),
    marks.mark(CLOSE),
  );
}

export const qwenXml: ToolFormat = {
  name: 'qwen-xml',
  detect: (template) => template.includes('<function=') && template.includes('<parameter='),
  opening: OPEN,
  calls(writer, tools, parallel) {
    const between = writer.language.concat(writer.space, writer.marks.mark(OPEN));
    return sequenceOfCalls(
      writer,
      tools.map((tool) => writeCall(writer, tool)),
      between,
      parallel,
    );
  },
  *read(reader: TextReader, events: CallEvents, tools: readonly Tool[]): Reading<void> {
    while ((yield* reader.until([OPEN], (text) => events.text(text))) !== undefined) {
      reader.mark(OPEN);
      yield* reader.skipSpace();
      const whole = yield* readFunction(reader, events, tools);
      if (!whole) yield* reader.until([CLOSE], () => {});
      else {
        yield* reader.skipSpace();
        yield* reader.accept(CLOSE);
      }
      events.end(reader.raw, whole);
    }
  },
};

function* readFunction(
  reader: TextReader,
  events: CallEvents,
  tools: readonly Tool[],
): Reading<boolean> {
  if (!(yield* reader.accept('<function='))) return false;
  const name = yield* readName(reader);
  if (name === undefined) return false;
  events.start(name);
  const members = new MemberDeltas(events);
  for (;;) {
    yield* reader.skipSpace();
    if (yield* reader.accept(END_FUNCTION)) break;
    if (!(yield* reader.accept('<parameter='))) return false;
    const key = yield* readName(reader);
    if (key === undefined) return false;
    yield* reader.accept('\n');
    members.key(key);
    const kind = elementKind(tools, name, key);
    if (!(yield* readElement(reader, END_VALUE.trimEnd(), kind, (json) => members.value(json))))
      return false;
  }
  members.close();
  return true;
}

function* readName(reader: TextReader): Reading<string | undefined> {
  let name = '';
  const ended = yield* reader.until(['>'], (text) => {
    name += text;
  });
  return ended === undefined ? undefined : name;
}
