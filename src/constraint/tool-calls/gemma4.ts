/**
 * Gemma 4: `<|tool_call>call:name{key:value,...}<tool_call|>`, with bare keys, and strings between
 * `<|"|>` marks. Arguments are turned into JSON while they arrive.
 */
import type { CallEvents } from './events.js';
import { sequenceOfCalls, type ToolFormat } from './format.js';
import type { Reading, TextReader } from './reader.js';

const OPEN = '<|tool_call>';
const CLOSE = '<tool_call|>';
const QUOTE = '<|"|>';
const MAX_DEPTH = 500;

export const gemma4: ToolFormat = {
  name: 'gemma4',
  detect: (template) => template.includes(OPEN) && template.includes(CLOSE),
  opening: OPEN,
  calls(writer, tools, parallel) {
    const { language, marks } = writer;
    const calls = tools.map((tool) =>
      language.concat(
        language.literal(`call:${tool.name}`),
        writer.gemmaArgumentsOf(tool),
        marks.mark(CLOSE),
      ),
    );
    return sequenceOfCalls(writer, calls, marks.mark(OPEN), parallel);
  },
  *read(reader: TextReader, events: CallEvents): Reading<void> {
    while ((yield* reader.until([OPEN], (text) => events.text(text))) !== undefined) {
      reader.mark(OPEN);
      const whole = yield* readCall(reader, events);
      if (!whole) yield* reader.until([CLOSE], () => {});
      events.end(reader.raw, whole);
    }
  },
};

function* readCall(reader: TextReader, events: CallEvents): Reading<boolean> {
  yield* reader.skipSpace();
  if (!(yield* reader.accept('call:'))) return false;
  let name = '';
  while (/[^{\s<]/.test(yield* reader.peek())) name += yield* reader.next();
  if (name === '') return false;
  events.start(name);
  if (!(yield* readValue(reader, (json) => events.delta(json), 0))) return false;
  yield* reader.skipSpace();
  return yield* reader.accept(CLOSE);
}

function* readValue(
  reader: TextReader,
  onJson: (json: string) => void,
  depth: number,
): Reading<boolean> {
  yield* reader.skipSpace();
  if (depth > MAX_DEPTH) return false;
  if (yield* reader.accept(QUOTE)) {
    onJson('"');
    const ended = yield* reader.until([QUOTE], (text) => onJson(JSON.stringify(text).slice(1, -1)));
    onJson('"');
    return ended !== undefined;
  }
  const first = yield* reader.peek();
  if (first === '{' || first === '[') return yield* readMembers(reader, onJson, depth, first);
  let word = '';
  while (/[^,\]}\s<]/.test(yield* reader.peek())) word += yield* reader.next();
  const isJson = /^(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)$/.test(
    word,
  );
  onJson(isJson ? word : JSON.stringify(word));
  return word !== '';
}

function* readMembers(
  reader: TextReader,
  onJson: (json: string) => void,
  depth: number,
  open: string,
): Reading<boolean> {
  const close = open === '{' ? '}' : ']';
  yield* reader.next();
  onJson(open);
  for (let count = 0; ; count++) {
    yield* reader.skipSpace();
    if (yield* reader.accept(close)) break;
    if (count > 0) {
      if (!(yield* reader.accept(','))) return false;
      onJson(', ');
      yield* reader.skipSpace();
    }
    if (open === '{') {
      let key = '';
      if (yield* reader.accept(QUOTE)) {
        yield* reader.until([QUOTE], (text) => {
          key += text;
        });
      }
      while (/[^:]/.test(yield* reader.peek())) key += yield* reader.next();
      if (!(yield* reader.accept(':'))) return false;
      onJson(`${JSON.stringify(key.trim())}: `);
    }
    if (!(yield* readValue(reader, onJson, depth + 1))) return false;
  }
  onJson(close);
  return true;
}
