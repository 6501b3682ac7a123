/** Tool calls: what random texts under the grammar of each format are parsed to, and real examples. */

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import type { Json } from '../../src/constraint/schema/json.js';
import { type Tool, type ToolFormatName, toolFormatNames } from '../../src/constraint/spec.js';
import type { ToolCallEvent } from '../../src/constraint/tool-calls/events.js';
import { createToolCallParser, detectToolFormat } from '../../src/constraint/tool-calls/formats.js';
import { judge } from './random-against-ajv.js';
import {
  accepts,
  compileFor,
  embedded,
  randomNumbers,
  randomText,
  synthetic,
  type Vocabulary,
} from './support.js';

const tools: readonly Tool[] = [
  {
    name: 'get_weather',
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string', maxLength: 12 },
        days: { type: 'integer', minimum: 1, maximum: 14 },
        units: { enum: ['C', 'F'] },
        near: { type: 'array', items: { type: 'string', maxLength: 4 }, maxItems: 2 },
        place: {
          type: 'object',
          properties: { x: { type: 'number' } },
          required: ['x'],
          additionalProperties: false,
        },
      },
      required: ['city', 'units'],
      additionalProperties: false,
    },
  },
  { name: 'stop' },
];

interface Call {
  name: string;
  arguments: string;
  complete: boolean;
  raw: string;
}

interface Parsed {
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly Call[];
  readonly malformed: number;
}

function collect(events: readonly ToolCallEvent[]): Parsed {
  const parsed = { text: '', reasoning: '', calls: [] as Call[], malformed: 0 };
  for (const event of events) {
    if (event.type === 'text') parsed.text += event.text;
    else if (event.type === 'reasoning') parsed.reasoning += event.text;
    else if (event.type === 'malformed') parsed.malformed++;
    else if (event.type === 'tool-call-start') {
      assert.equal(event.index, parsed.calls.length);
      parsed.calls.push({ name: event.name, arguments: '', complete: false, raw: '' });
    } else {
      const call = parsed.calls[event.index] as Call;
      if (event.type === 'arguments-delta') call.arguments += event.json;
      else Object.assign(call, { complete: event.complete, raw: event.raw });
    }
  }
  return parsed;
}

function parse(format: ToolFormatName, text: string, cut: (left: number) => number): Parsed {
  const parser = createToolCallParser(format, tools);
  const events: ToolCallEvent[] = [];
  for (let at = 0; at < text.length; ) {
    const length = Math.max(1, cut(text.length - at));
    events.push(...parser.push(text.slice(at, at + length)));
    at += length;
  }
  return collect([...events, ...parser.finish()]);
}

const markup =
  /<tool_call|<function|\[TOOL_CALLS|<\|channel|tool▁call|DSML|<\|tool_call|python_tag/;

const weather = '{"city": "Oslo", "units": "C"}';
const examples: Readonly<Record<ToolFormatName, string>> = {
  hermes: `Let me see.\n<tool_call>\n{"name": "get_weather", "arguments": ${weather}}\n</tool_call>`,
  'qwen-xml':
    'Let me see.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=units>\nC\n</parameter>\n</function>\n</tool_call>',
  llama3: `{"name": "get_weather", "parameters": ${weather}}`,
  mistral: `Let me see.[TOOL_CALLS]get_weather[ARGS]${weather}`,
  'mistral-list': `Let me see.[TOOL_CALLS][{"name": "get_weather", "arguments": ${weather}}]`,
  gemma4:
    'Let me see.<|tool_call>call:get_weather{city:<|"|>Oslo<|"|>,units:<|"|>C<|"|>}<tool_call|>',
  harmony: `<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>${weather}`,
  'deepseek-v3': `Let me see.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n\`\`\`json\n${weather}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
  'deepseek-v3.1': `Let me see.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>${weather}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
  'deepseek-v4':
    'Let me see.\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">Oslo</｜DSML｜parameter>\n<｜DSML｜parameter name="units" string="true">C</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>',
};

describe('tool-call formats', () => {
  let vocabularies: readonly Vocabulary[];
  before(async () => {
    vocabularies = [await embedded(), await synthetic()];
  });

  for (const format of toolFormatNames) {
    test(`${format}: an example is allowed, and parsed however it is cut`, () => {
      const text = examples[format];
      const compiled = compileFor(vocabularies[0] as Vocabulary, { type: 'tools', format, tools });
      assert.ok(accepts(compiled, vocabularies[0] as Vocabulary, text));
      for (let size = 1; size < 40; size += 3) {
        const { text: said, calls, malformed } = parse(format, text, () => size);
        assert.equal(malformed, 0);
        assert.equal(said, format === 'llama3' ? '' : 'Let me see.');
        assert.equal(calls.length, 1);
        const [call] = calls as [Call];
        assert.deepEqual([call.name, call.complete], ['get_weather', true]);
        assert.deepEqual(JSON.parse(call.arguments), JSON.parse(weather));
        if (format !== 'harmony') assert.equal(said + call.raw, text);
      }
    });

    test(`${format}: random calls are valid, and no markup comes out`, () => {
      const valid = judge((tools[0]?.parameters ?? {}) as Json);
      const random = randomNumbers(9);
      let complete = 0;
      for (const vocabulary of vocabularies) {
        const compiled = compileFor(vocabulary, {
          type: 'tools',
          format,
          tools,
          choice: 'required',
        });
        assert.deepEqual(compiled.warnings, []);
        for (let count = 0; count < 8; count++) {
          const { text, ended } = randomText(vocabulary, compiled.start(), random, 700, 40);
          const parsed = parse(format, text, (left) => Math.ceil(random() * Math.min(left, 9)));
          assert.equal(parsed.malformed, ended ? 0 : parsed.malformed);
          assert.ok(!markup.test(parsed.text), parsed.text);
          if (!ended) continue;
          complete++;
          assert.ok(parsed.calls.length > 0, text);
          for (const call of parsed.calls) {
            assert.ok(call.complete, text);
            assert.ok(text.includes(call.raw));
            const value: unknown = JSON.parse(call.arguments);
            if (call.name === 'stop') assert.deepEqual(value, {});
            else assert.ok(call.name === 'get_weather' && valid(value), text);
          }
        }
      }
      assert.ok(complete > 2, `only ${complete} texts ended`);
    });

    test(`${format}: an answer without calls keeps to its schema`, () => {
      const [vocabulary] = vocabularies as [Vocabulary];
      const answer = {
        type: 'json-schema',
        schema: {
          type: 'object',
          properties: { city: { type: 'string', maxLength: 40 } },
          required: ['city'],
          additionalProperties: false,
        },
      } as const;
      const compiled = compileFor(vocabulary, { type: 'tools', format, tools, answer });
      const channel = format === 'harmony' ? '<|channel|>final<|message|>' : '';
      const allows = (text: string) => accepts(compiled, vocabulary, channel + text);
      assert.ok(allows('{"city": "Oslo"}'));
      assert.ok(!allows('{"city": 5}'));
      assert.ok(!allows('Let me see.'));
      if (format === 'hermes') assert.ok(!allows('{"city": "<tool_call>"}'));
      const called = examples[format].replace(/^Let me see\.\s*/, '');
      assert.ok(accepts(compiled, vocabulary, called));
      const none = compileFor(vocabulary, { type: 'tools', format, tools, choice: 'none', answer });
      assert.ok(accepts(none, vocabulary, `${channel}{"city": "Oslo"}`));
      assert.ok(!accepts(none, vocabulary, called));
    });

    test(`${format}: choices`, () => {
      const [vocabulary] = vocabularies as [Vocabulary];
      const text = examples[format];
      const called = text.replace(/^Let me see\.\s*/, '');
      const allows = (choice: 'none' | 'required' | { name: string }, given: string) =>
        accepts(
          compileFor(vocabulary, { type: 'tools', format, tools, choice }),
          vocabulary,
          given,
        );
      assert.ok(!allows('none', text));
      assert.ok(allows({ name: 'get_weather' }, called));
      assert.ok(!allows({ name: 'stop' }, called));
      if (format !== 'harmony') {
        assert.ok(allows('none', 'Hello {"a": 1} <b>'));
        assert.ok(!allows('required', 'Hello'));
      }
      const once = compileFor(vocabulary, {
        type: 'tools',
        format,
        tools,
        choice: 'required',
        parallel: false,
      });
      assert.ok(accepts(once, vocabulary, called));
      assert.ok(!accepts(once, vocabulary, `${called}\n${called}`));
    });

    test(`${format}: fuzzed text neither throws nor leaks marks, and ends`, () => {
      const random = randomNumbers(4);
      const text = examples[format];
      for (let count = 0; count < 300; count++) {
        let broken = text;
        for (let change = 0; change < 3; change++) {
          const at = Math.floor(random() * broken.length);
          const length = Math.floor(random() * 12);
          const insert = random() < 0.5 ? text.slice(at, at + length) : '';
          broken = broken.slice(0, at) + insert + broken.slice(at + length * Math.round(random()));
        }
        const whole = parse(format, broken, (left) => left);
        assert.deepEqual(
          parse(format, broken, () => 1),
          whole,
          broken,
        );
      }
    });
  }

  test('templates tell which format they use', () => {
    const templates: Readonly<Record<ToolFormatName, string>> = {
      hermes: `{{- '<tool_call>\\n{"name": "' }}{{- tool_call.name }}`,
      'qwen-xml': `'<tool_call>\\n<function=' + tool_call.name + '>\\n' ... '<parameter=' + args_name + '>\\n'`,
      llama3: `'<|start_header_id|>assistant<|end_header_id|>' {{- '{"name": "' }}{{- '"parameters": ' }}`,
      mistral: `{{- '[TOOL_CALLS]' + tool_call.function.name }}{{- '[ARGS]' + arguments }}`,
      'mistral-list': `{{- "[TOOL_CALLS] [" }}`,
      gemma4: `{{- '<|tool_call>call:' + function['name'] + '{' -}}{{- '}<tool_call|>' -}}`,
      harmony: `"<|start|>assistant<|channel|>commentary to=functions." <|message|>`,
      'deepseek-v3':
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + type + '<｜tool▁sep｜>' + name + '\\n' + '```json'",
      'deepseek-v3.1': `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>'+ name + '<｜tool▁sep｜>'`,
      'deepseek-v4': `{%- set dsml_token = '｜DSML｜' -%} '<' + dsml_token + 'tool_calls>'`,
    };
    for (const [format, template] of Object.entries(templates))
      assert.equal(detectToolFormat(template), format);
    assert.equal(detectToolFormat("{{ '<|im_start|>' + message.role }}"), undefined);
  });

  test('text before, between and after calls; white space is kept where no call comes', () => {
    const call = '<tool_call>\n{"name": "stop", "arguments": {}}\n</tool_call>';
    const parsed = parse('hermes', `A \n${call}\n\n${call}\nB < \n`, () => 2);
    assert.equal(parsed.text, 'A\nB <');
    assert.equal(parsed.calls.length, 2);
    assert.equal(parse('hermes', ' a < b \n', () => 1).text, ' a < b \n');
  });

  test('untyped and mixed arguments of elements', () => {
    const loose: Tool = {
      name: 'f',
      parameters: { type: 'object', properties: { n: { type: 'integer' }, s: { type: 'string' } } },
    };
    const parser = createToolCallParser('qwen-xml', [loose]);
    const element = (key: string, value: string) => `<parameter=${key}>\n${value}\n</parameter>\n`;
    const all =
      element('n', '12') +
      element('s', '12') +
      element('u', '{"a": 1}') +
      element('v', 'True') +
      element('w', 'say "x"');
    const events = [
      ...parser.push(`<tool_call>\n<function=f>\n${all}</function>\n</tool_call>`),
      ...parser.finish(),
    ];
    const [call] = collect(events).calls as [Call];
    assert.deepEqual(JSON.parse(call.arguments), {
      n: 12,
      s: '12',
      u: { a: 1 },
      v: true,
      w: 'say "x"',
    });
  });

  test('tools without a name, twice, or missing are refused; unsupported keywords warn by pointer', () => {
    const [vocabulary] = vocabularies as [Vocabulary];
    const bad: readonly (readonly [readonly Tool[], 'required' | { name: string }, string])[] = [
      [[{ name: 'a b' }], 'required', '/tools/0/name'],
      [[{ name: 'a' }, { name: 'a' }], 'required', '/tools/1/name'],
      [[], 'required', '/choice'],
      [[{ name: 'a' }], { name: 'b' }, '/choice'],
      [
        [
          {
            name: 'a',
            strict: true,
            parameters: { type: 'object', properties: { x: { contains: {} } } },
          },
        ],
        'required',
        '/tools/0/parameters/properties/x/contains',
      ],
    ];
    for (const [list, choice, pointer] of bad) {
      assert.throws(
        () => compileFor(vocabulary, { type: 'tools', format: 'hermes', tools: list, choice }),
        (error) =>
          PacelineError.is(error) && error.code === 'usage' && error.details.pointer === pointer,
        pointer,
      );
    }
    const parameters = { type: 'object', properties: { x: { type: 'array', uniqueItems: true } } };
    const { warnings } = compileFor(vocabulary, {
      type: 'tools',
      format: 'llama3',
      tools: [{ name: 'a', parameters }],
    });
    assert.deepEqual(
      warnings.map(({ pointer }) => pointer),
      ['/tools/0/parameters/properties/x/uniqueItems'],
    );
  });
});
