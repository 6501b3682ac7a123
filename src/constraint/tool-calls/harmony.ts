/**
 * Harmony (gpt-oss): an answer is messages in channels, `<|channel|>name<|message|>text`, which end
 * with `<|end|>` and go on with `<|start|>assistant`. The channel `analysis` is reasoning, `final` the
 * answer, `commentary to=functions.name` a call, which ends the answer with `<|call|>`.
 */
import { EMPTY } from '../core/expressions.js';
import type { CallEvents } from './events.js';
import type { CallWriter, ToolFormat } from './format.js';
import type { Reading, TextReader } from './reader.js';

const CHANNEL = '<|channel|>';
const MESSAGE = '<|message|>';
const END = '<|end|>';
const START = '<|start|>';
const CALL = '<|call|>';
const RETURN = '<|return|>';
const CONSTRAIN = '<|constrain|>';
const NAMESPACE = 'functions.';
/** Marks that end a message wherever they come. */
const endings = [END, CALL, RETURN, START, CHANNEL];

/** The text of a message up to its end mark, or to the end of the answer. */
function messageText({ language, marks }: CallWriter, endOk: boolean): number {
  const no = [CHANNEL, START, MESSAGE].map((text) => ({ text, after: language.either([]) }));
  return marks.free({ endOk, marks: endOk ? no : [{ text: END, after: EMPTY }, ...no] });
}

/** Messages before the last one, then what the last one is. */
function afterPreamble(writer: CallWriter, last: readonly number[], alsoText: boolean): number {
  const { language, marks } = writer;
  const message = (name: string) =>
    language.concat(
      marks.mark(CHANNEL),
      language.literal(name),
      marks.mark(MESSAGE),
      messageText(writer, false),
    );
  const next = language.concat(marks.mark(START), language.literal('assistant'));
  const before = [message('analysis'), ...(alsoText ? [message('commentary')] : [])];
  return language.concat(
    language.repeat(language.concat(language.either(before), next), 0, 8),
    language.either(last),
  );
}

export const harmony: ToolFormat = {
  name: 'harmony',
  detect: (template) => template.includes(CHANNEL) && template.includes(MESSAGE),
  opening: CHANNEL,
  calls(writer, tools) {
    const { language, marks } = writer;
    const constrain = language.concat(language.literal(' '), marks.mark(CONSTRAIN));
    return language.either(
      tools.map((tool) =>
        language.concat(
          language.literal(`commentary to=${NAMESPACE}${tool.name}`),
          language.either([constrain, language.literal(' ')]),
          language.concat(language.literal('json'), marks.mark(MESSAGE)),
          writer.argumentsOf(tool),
        ),
      ),
    );
  },
  text({ writer, tools, choice, answer }) {
    const { language, marks } = writer;
    const final = language.concat(
      marks.mark(CHANNEL),
      language.literal('final'),
      marks.mark(MESSAGE),
      answer ?? messageText(writer, true),
    );
    const call = language.concat(marks.mark(CHANNEL), this.calls(writer, tools, false));
    if (choice === 'free') return afterPreamble(writer, [final], false);
    return afterPreamble(writer, choice === 'auto' ? [final, call] : [call], true);
  },
  *read(reader: TextReader, events: CallEvents): Reading<void> {
    let stray = (yield* reader.peek()) !== '<';
    while (!reader.atEnd) {
      reader.mark();
      let header = '';
      if (stray) {
        // Text without any channel is an answer.
        const mark = yield* reader.until([CHANNEL, START, END, RETURN, CALL], (text) =>
          events.text(text),
        );
        if (mark === undefined) return;
        stray = false;
        continue;
      }
      const mark = yield* reader.until([MESSAGE], (text) => {
        header += text;
      });
      if (mark === undefined) {
        if (header.replace(/<\|[a-z]+\|>|assistant|\s/g, '') !== '') events.end(reader.raw, false);
        return;
      }
      yield* readMessage(reader, events, header);
    }
  },
};

function* readMessage(reader: TextReader, events: CallEvents, header: string): Reading<void> {
  const to = /to=([^\s<]+)/.exec(header)?.[1];
  if (to !== undefined) {
    events.start(to.startsWith(NAMESPACE) ? to.slice(NAMESPACE.length) : to);
    yield* reader.skipSpace();
    const whole = yield* reader.json((json) => events.delta(json));
    yield* reader.until(endings, () => {});
    events.end(reader.raw, whole);
    return;
  }
  const reasoning = /analysis/.test(header);
  yield* reader.until(endings, (text) => (reasoning ? events.reasoning(text) : events.text(text)));
}
