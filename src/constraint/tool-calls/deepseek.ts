/**
 * DeepSeek's formats. V3 and R1: blocks with the name, a line, and arguments in a fence of JSON;
 * V3.1: name and arguments between marks; V4: elements whose attribute says what is a text.
 */
import { EMPTY } from '../core/expressions.js';
import { plainCharacters } from '../text/utf8.js';
import { MemberDeltas, readElement } from './elements.js';
import type { CallEvents } from './events.js';
import { sequenceOfCalls, type ToolFormat } from './format.js';
import type { Reading, TextReader } from './reader.js';

const BEGIN_ALL = '<｜tool▁calls▁begin｜>';
const END_ALL = '<｜tool▁calls▁end｜>';
const BEGIN = '<｜tool▁call▁begin｜>';
const END = '<｜tool▁call▁end｜>';
const SEPARATOR = '<｜tool▁sep｜>';
const FENCE = '\n```json\n';
const END_FENCE = '\n```';

/** The two formats that differ by what stands around the name and the arguments. */
function blocks(name: 'deepseek-v3' | 'deepseek-v3.1'): ToolFormat {
  const fenced = name === 'deepseek-v3';
  return {
    name,
    detect: (template) => template.includes(BEGIN_ALL) && template.includes('```json') === fenced,
    opening: BEGIN_ALL,
    calls(writer, tools, parallel) {
      const { language, marks, space } = writer;
      const text = (part: string) => language.literal(part);
      const calls = tools.map((tool) => {
        const parts = fenced
          ? [
              text('function'),
              marks.mark(SEPARATOR),
              text(tool.name + FENCE),
              writer.argumentsOf(tool),
              text(END_FENCE),
            ]
          : [text(tool.name), marks.mark(SEPARATOR), writer.argumentsOf(tool)];
        return language.concat(marks.mark(BEGIN), ...parts, marks.mark(END));
      });
      return language.concat(sequenceOfCalls(writer, calls, space, parallel), marks.mark(END_ALL));
    },
    *read(reader: TextReader, events: CallEvents): Reading<void> {
      while ((yield* reader.until([BEGIN_ALL], (text) => events.text(text))) !== undefined) {
        reader.mark(BEGIN_ALL);
        let next = yield* reader.until([BEGIN, END_ALL], () => {});
        while (next === BEGIN) {
          const whole = yield* readBlock(reader, events, fenced);
          next = yield* reader.until([BEGIN, END_ALL], () => {});
          // The mark of the next block is the next call's.
          const own = next === BEGIN ? reader.raw.slice(0, -BEGIN.length) : reader.raw;
          events.end(own, whole);
          reader.mark(BEGIN);
        }
      }
    },
  };
}

function* readBlock(reader: TextReader, events: CallEvents, fenced: boolean): Reading<boolean> {
  let name = '';
  if ((yield* reader.until([SEPARATOR], (text) => (name += text))) === undefined) return false;
  if (fenced) {
    name = '';
    yield* reader.until(['\n'], (text) => (name += text));
    yield* reader.accept('```json');
  }
  events.start(name.trim());
  yield* reader.skipSpace();
  const whole = yield* reader.json((json) => events.delta(json));
  return (yield* reader.until([END], () => {})) !== undefined && whole;
}

export const deepseekV3 = blocks('deepseek-v3');
export const deepseekV31 = blocks('deepseek-v3.1');

const DSML = '｜DSML｜';
const OPEN = `<${DSML}tool_calls>`;
const CLOSE = `</${DSML}tool_calls>`;
const INVOKE = `<${DSML}invoke name="`;
const END_INVOKE = `</${DSML}invoke>`;
const PARAMETER = `<${DSML}parameter name="`;
const END_PARAMETER = `</${DSML}parameter>`;

export const deepseekV4: ToolFormat = {
  name: 'deepseek-v4',
  detect: (template) => template.includes(DSML) && template.includes('tool_calls>'),
  opening: OPEN,
  calls(writer, tools, parallel) {
    const { language, marks } = writer;
    const text = (part: string) => language.literal(part);
    const name = plainCharacters(language, [
      [0x23, 0x3b],
      [0x3f, 0x7e],
    ]);
    const closing = marks.mark(END_INVOKE);
    const calls = tools.map((tool) => {
      const members = writer.elementsOf(
        tool,
        {
          open: EMPTY,
          first: marks.mark(PARAMETER),
          between: marks.mark(PARAMETER),
          close: closing,
          // A call without arguments has an empty line instead.
          closeEmpty: language.concat(language.optional(text('\n')), closing),
          key: (key) => new TextEncoder().encode(`${key}" string="`),
          keyOf: (content) =>
            language.concat(
              language.both([content, language.repeat(name, 1, 64)]),
              text('" string="'),
            ),
          colon: EMPTY,
          afterValue: text('\n'),
        },
        { end: END_PARAMETER, beforeText: text('true">'), beforeJson: text('false">') },
      );
      return language.concat(marks.mark(INVOKE), text(`${tool.name}">\n`), members, text('\n'));
    });
    const all = sequenceOfCalls(writer, calls, EMPTY, parallel);
    return language.concat(text('\n'), all, marks.mark(CLOSE));
  },
  *read(reader: TextReader, events: CallEvents): Reading<void> {
    while ((yield* reader.until([OPEN], (text) => events.text(text))) !== undefined) {
      reader.mark(OPEN);
      let next = yield* reader.until([INVOKE, CLOSE], () => {});
      while (next === INVOKE) {
        const whole = yield* readInvoke(reader, events);
        next = yield* reader.until([INVOKE, CLOSE], () => {});
        const own = next === INVOKE ? reader.raw.slice(0, -INVOKE.length) : reader.raw;
        events.end(own, whole);
        reader.mark(INVOKE);
      }
    }
  },
};

function* readInvoke(reader: TextReader, events: CallEvents): Reading<boolean> {
  let name = '';
  if ((yield* reader.until(['">'], (text) => (name += text))) === undefined) return false;
  events.start(name);
  const members = new MemberDeltas(events);
  for (;;) {
    const mark = yield* reader.until([PARAMETER, END_INVOKE, CLOSE], () => {});
    if (mark === END_INVOKE) break;
    if (mark !== PARAMETER) return false;
    let key = '';
    if ((yield* reader.until(['"'], (text) => (key += text))) === undefined) return false;
    let attributes = '';
    if ((yield* reader.until(['>'], (text) => (attributes += text))) === undefined) return false;
    members.key(key);
    const kind = attributes.includes('"false"') ? 'json' : 'text';
    if (!(yield* readElement(reader, END_PARAMETER, kind, (json) => members.value(json))))
      return false;
  }
  members.close();
  return true;
}
