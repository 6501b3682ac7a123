/**
 * The template language against Python's jinja2, as recorded by the scripts in `oracle/`: the same
 * text for every expression and statement, an error where Python has one, and the prompts of real
 * chat templates.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { Dict, rawJson, Template, toValue, type Value } from '../../src/template/template.js';
import { templateFixture, templateSource } from '../support/templates.js';

interface Recorded {
  /** JSON text of the variables, as Python read it. */
  readonly variables: string;
  /** Source and result; null is an error. */
  readonly cases: readonly (readonly [string, string | null])[];
}

const now = new Date(2026, 2, 9, 8, 5, 7);

function variablesOf(json: string): (readonly [string, Value])[] {
  const value = toValue(rawJson(json), 'variables');
  assert.ok(value instanceof Dict);
  return Array.from(value.pairs(), ([name, item]) => [String(name), item] as const);
}

/** The text, or null for an error, which must be a typed one with a place. */
function outcome(render: () => string): string | null {
  try {
    return render();
  } catch (error) {
    assert.ok(PacelineError.is(error), String(error));
    assert.ok(Number(error.details.line) > 0 && Number(error.details.column) > 0, error.message);
    const { cause } = error;
    assert.ok(!(cause instanceof TypeError || cause instanceof ReferenceError), String(cause));
    return null;
  }
}

for (const name of ['expressions', 'statements']) {
  test(`${name} give what jinja2 gives`, () => {
    const { variables, cases } = templateFixture<Recorded>(name);
    const given = variablesOf(variables);
    assert.ok(cases.length > 2000);
    for (const [source, expected] of cases) {
      const result = outcome(() => new Template(source).render(given, { now }));
      assert.equal(result, expected, source);
    }
  });
}

interface Chats {
  /** JSON text of the variables, by name. */
  readonly conversations: Readonly<Record<string, string>>;
  /** Results by template and conversation. */
  readonly results: Readonly<Record<string, Readonly<Record<string, string | null>>>>;
}

describe('chat templates of real models', () => {
  const { conversations, results } = templateFixture<Chats>('chats');
  const variables = new Map(
    Object.entries(conversations).map(([title, json]) => [title, variablesOf(json)] as const),
  );
  for (const [file, expected] of Object.entries(results)) {
    test(file, () => {
      const template = new Template(templateSource(file));
      for (const [title, text] of Object.entries(expected)) {
        const given = new Map<string, Value>([
          ['add_generation_prompt', true],
          ['bos_token', '<s>'],
          ['eos_token', '</s>'],
          ...(variables.get(title) ?? []),
        ]);
        assert.equal(
          outcome(() => template.render(given, { now })),
          text,
          title,
        );
      }
    });
  }
});
