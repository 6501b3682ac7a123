/** Chat templates against Python's jinja2: see fixtures/make-chat-fixtures.py. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PacelineError } from '../../src/base/errors.js';
import { givenChatTemplate, type TemplateMessage } from '../../src/tokenizer/chat-template.js';
import { templateSource } from '../support/templates.js';

interface Cases {
  readonly shared: { readonly bos_token: string; readonly eos_token: string; readonly now: string };
  readonly tools: Readonly<Record<string, readonly Record<string, unknown>[]>>;
  readonly cases: Readonly<Record<string, Case>>;
}

interface Case {
  readonly messages: readonly TemplateMessage[];
  readonly tools?: string;
  readonly add_generation_prompt: boolean;
  readonly [variable: string]: unknown;
}

type Expected = Readonly<
  Record<string, Readonly<Record<string, { text?: string; error?: string }>>>
>;

function fixture<T>(name: string): T {
  const path = fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));
  return JSON.parse(readFileSync(path, 'utf8')) as T;
}

const { shared, tools, cases } = fixture<Cases>('chat-cases.json');
const expected = fixture<Expected>('chat-expected.json');

for (const [file, results] of Object.entries(expected)) {
  describe(file, () => {
    const template = givenChatTemplate(templateSource(file), {
      bos: shared.bos_token,
      eos: shared.eos_token,
      has: () => false,
    });
    for (const [name, result] of Object.entries(results)) {
      const { messages, tools: set, add_generation_prompt, ...variables } = cases[name] as Case;
      test(name, () => {
        const render = () =>
          template.render(messages, {
            tools: tools[set ?? ''] ?? [],
            addGenerationPrompt: add_generation_prompt,
            variables,
            now: new Date(shared.now),
          });
        if (result.text !== undefined) {
          assert.equal(render(), result.text);
          return;
        }
        assert.throws(render, (thrown) => {
          assert.ok(PacelineError.is(thrown));
          assert.equal(thrown.code, 'usage');
          assert.ok(thrown.message.includes(result.error ?? '-'), thrown.message);
          assert.ok(Number(thrown.details.line) > 0);
          return true;
        });
      });
    }
  });
}
