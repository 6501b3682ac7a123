/** What hostile templates meet: a typed error, soon. Fuzz of the language, and its speed in steps. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { limitsFor } from '../../src/template/budget.js';
import { rawJson, Template, toValue, type Value } from '../../src/template/template.js';
import { templateFixture } from '../support/templates.js';
import { randomNumbers } from '../tokenizer/random-text.js';

/** Limits under which every case ends within milliseconds. */
const limits = { steps: 200_000, memory: 2 ** 22, output: 2 ** 20 };

function refusal(source: string, settings: object = { limits }): PacelineError {
  try {
    new Template(source).render([], settings);
  } catch (error) {
    assert.ok(PacelineError.is(error), String(error));
    return error;
  }
  throw new Error(`Not refused: ${source.slice(0, 80)}`);
}

const big = 'range(100000)';
const doubling = (first: string, step: string, last: string) =>
  `{% set ns = namespace(a=${first}) %}{% for i in range(200) %}{% set ns.a = ${step} %}{% endfor %}{{ ${last} }}`;

describe('the budget', () => {
  const hostile = [
    `{% for a in ${big} %}{% for b in ${big} %}{% endfor %}{% endfor %}`,
    "{{ 'x' * 10**9 }}",
    '{{ [1] * 10**9 }}',
    '{{ range(10**12) }}',
    '{{ 10**(10**10) }}',
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '%.1000000000f' % 1.5 }}",
    doubling("'x'", 'ns.a + ns.a', 'ns.a'),
    doubling('[1]', 'ns.a + ns.a', 'ns.a'),
    doubling('[1]', '[ns.a, ns.a]', 'ns.a'),
    doubling('[1]', '[ns.a, ns.a]', 'ns.a|tojson'),
    doubling('(1,)', '(ns.a, ns.a)', '{ns.a: 1}'),
    '{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}',
    '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}',
    '{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}',
    '{% for x in [[]] recursive %}{{ loop([[]]) }}{% endfor %}',
    '{% block a %}{{ self.a() }}{% endblock %}',
    `{% set d = dict.fromkeys(${big}) %}{% for i in ${big} %}{{ d|first }}{% endfor %}`,
    `{% set s = '😀' * 100000 %}{% for i in ${big} %}{{ s[i] }}{% endfor %}`,
    "{{ [1]|batch(10**9, 'x')|list }}",
    "{{ 'a'|center(10**9) }}",
    "{{ 'a'|indent(10**9) }}",
    '{{ [1]|tojson(indent=10**9) }}',
    `{% for i in ${big} %}{% set x = 3 ** 600000 %}{% endfor %}`,
  ];
  for (const source of hostile) {
    test(source.slice(0, 100), () => assert.equal(refusal(source).code, 'usage'));
  }

  const deep = [
    `{{ ${'('.repeat(5000)}1${')'.repeat(5000)} }}`,
    `{{ ${'-'.repeat(50_000)}1 }}`,
    `{{ ${'not '.repeat(50_000)}1 }}`,
    `{{ 1${'+1'.repeat(50_000)} }}`,
    `{{ x${'.a'.repeat(50_000)} }}`,
    `{{ x${'|upper'.repeat(50_000)} }}`,
    `{{ 1${' if 1 else 1'.repeat(50_000)} }}`,
    `${'{% if 1 %}'.repeat(5000)}${'{% endif %}'.repeat(5000)}`,
    'x'.repeat(2 ** 17 + 1),
  ];
  for (const source of deep) {
    test(`parsing ${source.slice(0, 30)}`, () => assert.equal(refusal(source).code, 'broken-file'));
  }

  test('is small, and grows with what a template is given, up to an end', () => {
    const endless = `{% for a in ${big} %}{% for b in ${big} %}{% endfor %}{% endfor %}`;
    assert.match(refusal(endless, {}).message, /more than 300000 steps/);
    const messages = toValue([{ role: 'user', content: 'x'.repeat(6400) }], 'messages');
    // The list, the message, two names, two texts, and what they are long.
    assert.throws(
      () => new Template(endless).render([['messages', messages]]),
      /more than 331\d{3} steps/,
    );
    assert.deepEqual(limitsFor(1e9), {
      ...{ steps: 10_000_000, memory: 2 ** 27 },
      ...{ output: 2 ** 25, depth: 200 },
    });
  });

  test('counts what costs time without many expressions', () => {
    const list = '{% set s = range(1000)|list %}';
    const thousand = (body: string) =>
      `{% for i in range(1000) %}{% set x = ${body} %}{% endfor %}`;
    const costly = {
      'items that are themselves': `${list}${thousand('s == s|list')}`,
      'an order of lists': `${list}{% set t = s|list %}${thousand('s < t')}`,
      'words that get capitals': `{% set s = 'ab ' * 1000 %}${thousand('s|title')}`,
      addresses: `{% set s = 'http://a.b ' * 100 %}${thousand('s|urlize')}`,
      'percent signs': `{% set s = 'é/' * 1000 %}${thousand('s|urlencode')}`,
    };
    for (const [name, source] of Object.entries(costly)) {
      assert.match(refusal(source, { limits: { steps: 60_000 } }).message, /steps/, name);
    }
  });

  test('says what was too much, and where', () => {
    const error = refusal(
      `a\n {% for a in ${big} %}{% for b in ${big} %}{{ b }}{% endfor %}{% endfor %}`,
    );
    assert.match(error.message, /line 2, column \d+.*200000 steps/);
    assert.match(error.hint ?? '', /fewer messages/);
  });
});

test('a thousand messages with a hundred tools fit the default budget in every real template', () => {
  const { conversations } = templateFixture<{ conversations: Record<string, string> }>('chats');
  const sources = templateFixture<Record<string, string>>('templates');
  const chat = JSON.parse(conversations['call, result, answer'] ?? '') as {
    messages: unknown[];
    tools: unknown[];
  };
  const turn = chat.messages.slice(1, 5);
  const messages = [chat.messages[0], ...Array.from({ length: 250 }, () => turn).flat()];
  const tools = Array.from({ length: 50 }, () => chat.tools).flat();
  const given: [string, Value][] = [
    ['messages', toValue(messages, 'messages')],
    ['tools', toValue(tools, 'tools')],
    ['add_generation_prompt', true],
    ['bos_token', '<s>'],
    ['eos_token', '</s>'],
  ];
  let rendered = 0;
  for (const [file, source] of Object.entries(sources)) {
    try {
      new Template(source).render(given);
      rendered++;
    } catch (error) {
      assert.ok(PacelineError.is(error), String(error));
      assert.doesNotMatch(error.message, /steps|memory|characters|items|deeply/, file);
    }
  }
  assert.ok(rendered > 40, String(rendered));
});

test('whatever is done to a template, it renders or is refused', () => {
  const sources = Object.values(templateFixture<Record<string, string>>('templates'));
  const { conversations } = templateFixture<{ conversations: Record<string, string> }>('chats');
  const value = toValue(rawJson(conversations['two calls'] ?? ''), 'variables');
  const messages = toValue([{ role: 'user', content: 'Hi' }], 'messages');
  assert.ok(typeof value === 'object');
  const random = randomNumbers(41);
  const pick = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)] as T;
  const pieces = ['{{', '}}', '{%', '-%}', '%}', '{#', '#}', '(', ')', '[', ']', '|', '.', "'"];
  pieces.push('"', ' in ', ' if ', ' not ', '{% endfor %}', '{% endif %}', '~', '*', '**', '9999');
  for (let round = 0; round < 600; round++) {
    let source = pick(sources).slice(0, 4000);
    for (let edits = 1 + random() * 4; edits > 0; edits--) {
      const [from, to] = [random() * source.length, random() * 30].map(Math.floor) as [
        number,
        number,
      ];
      source =
        source.slice(0, from) + (random() < 0.5 ? pick(pieces) : '') + source.slice(from + to);
    }
    try {
      new Template(source).render([['messages', messages]], { limits });
    } catch (error) {
      assert.ok(PacelineError.is(error), `${source}: ${error}`);
      const { cause } = error;
      assert.ok(!(cause instanceof TypeError || cause instanceof ReferenceError), String(cause));
    }
  }
});
