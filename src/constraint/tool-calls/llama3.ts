/**
 * Llama 3.1 to 3.3: the whole answer is `{"name": ..., "parameters": {...}}`, perhaps after
 * `<|python_tag|>`; one call an answer. An answer that begins like that is a call, any other is text.
 */
import { ByteSet } from '../core/symbols.js';
import type { CallEvents } from './events.js';
import type { ToolFormat } from './format.js';
import { jsonCall, readJsonCall } from './json-call.js';
import type { Reading, TextReader } from './reader.js';

const TAG = '<|python_tag|>';

export const llama3: ToolFormat = {
  name: 'llama3',
  detect: (template) =>
    template.includes('<|start_header_id|>') && template.includes('"parameters": '),
  opening: TAG,
  calls: (writer, tools) =>
    writer.language.either(tools.map((tool) => jsonCall(writer, tool, 'parameters'))),
  text({ writer, tools, choice, answer }) {
    const { language, marks } = writer;
    const call =
      choice === 'free'
        ? language.either([])
        : language.concat(language.optional(marks.mark(TAG)), this.calls(writer, tools, false));
    if (choice === 'required') return call;
    // Free text is what a reader does not take for a call.
    const space = language.repeat(language.set(ByteSet.of([0x09, 0x0d], [0x20, 0x20])), 0);
    const text = (part: string) => language.literal(part);
    const everything = language.anything();
    const begun = language.concat(
      space,
      text('{'),
      space,
      text('"name"'),
      space,
      text(':'),
      everything,
    );
    const tagged = language.concat(space, text(TAG), everything);
    const free = language.not(language.either([begun, tagged]));
    return language.either([call, answer === undefined ? free : language.both([answer, free])]);
  },
  *read(reader: TextReader, events: CallEvents): Reading<void> {
    reader.mark();
    yield* reader.skipSpace();
    const tagged = yield* reader.accept(TAG);
    yield* reader.skipSpace();
    const isCall = tagged || (yield* beginsCall(reader));
    if (!isCall) events.text(reader.raw);
    else {
      const whole = tagged ? yield* readJsonCall(reader, events) : yield* readRest(reader, events);
      if (!whole) yield* reader.until([], () => {});
      events.end(reader.raw, whole);
    }
    yield* reader.until([], (text) => events.text(text));
  },
};

/** Takes what a call begins with, up to the colon after the name's key. */
function* beginsCall(reader: TextReader): Reading<boolean> {
  for (const part of ['{', '"name"', ':']) {
    if (!(yield* reader.accept(part))) return false;
    yield* reader.skipSpace();
  }
  return true;
}

function* readRest(reader: TextReader, events: CallEvents): Reading<boolean> {
  let quoted = '';
  const ended = yield* reader.json((part) => {
    quoted += part;
  });
  if (!ended || !/^"[^"\\]*"$/.test(quoted)) return false;
  events.start(quoted.slice(1, -1));
  yield* reader.skipSpace();
  if (yield* reader.accept('}')) {
    events.delta('{}');
    return true;
  }
  for (const part of [',', '"parameters"', ':']) {
    if (!(yield* reader.accept(part))) return false;
    yield* reader.skipSpace();
  }
  if (!(yield* reader.json((json) => events.delta(json)))) return false;
  yield* reader.skipSpace();
  return yield* reader.accept('}');
}
