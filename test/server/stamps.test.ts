/**
 * What coding agents write about the moment (day, time, folder, a checksum) and where: a second turn in the
 * shape of each must cost its own tokens and not the prompt. Where somebody's clock stands early, what is
 * before it stays, and the log says where the prompts part.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Json, post, startServer, type TestServer } from './support.js';

const instructions = 'You are a coding agent. Read files before you change them.\n'.repeat(6);
const question = 'Where is the date parsed?';
const next = 'And the time?';
/** Tokens at the end of a first prompt that begin its answer, in the template of the model. */
const cue = 8;

interface Turns {
  readonly path: string;
  readonly first: object;
  /** The second turn, after this answer. */
  readonly second: (answer: string) => object;
}

const codexContext = (day: string): object => ({
  role: 'user',
  content: `<environment_context>\n  <cwd>/project</cwd>\n  <shell>bash</shell>\n  <current_date>${day}</current_date>\n</environment_context>`,
});
const clineMessage = (text: string, time: string): object => ({
  role: 'user',
  content: `<task>\n${text}\n</task>\n\n<environment_details>\n# Current Time\n2026-11-30 ${time}\n\n# Current Mode\nACT MODE\n</environment_details>`,
});
const opencodeSystem = {
  role: 'system',
  content: `${instructions}<env>\n  Working directory: /project\n  Is directory a git repo: yes\n  Platform: linux\n  Today's date: Mon Nov 30 2026\n</env>`,
};
const claudeSystem = (stamp: string): readonly object[] => [
  { type: 'text', text: `x-anthropic-billing-header: cc_version=2.1.3; cch=${stamp};` },
  { type: 'text', text: instructions },
];

const user = (content: string): object => ({ role: 'user', content });
const assistant = (content: string): object => ({ role: 'assistant', content });

function chat(messages: readonly object[]): object {
  return { model: 'default', messages, max_tokens: 4, temperature: 0 };
}

const agents: Readonly<Record<string, Turns>> = {
  codex: {
    path: '/v1/responses',
    first: responses([codexContext('2026-11-30'), user(question)]),
    // A new day is told in a message of its own.
    second: (answer) =>
      responses([
        codexContext('2026-11-30'),
        user(question),
        assistant(answer),
        codexContext('2026-12-01'),
        user(next),
      ]),
  },
  opencode: {
    path: '/v1/chat/completions',
    first: chat([opencodeSystem, user(question)]),
    second: (answer) => chat([opencodeSystem, user(question), assistant(answer), user(next)]),
  },
  cline: {
    path: '/v1/chat/completions',
    first: chat([{ role: 'system', content: instructions }, clineMessage(question, '10:00:01')]),
    second: (answer) =>
      chat([
        { role: 'system', content: instructions },
        clineMessage(question, '10:00:01'),
        assistant(answer),
        clineMessage(next, '10:02:33'),
      ]),
  },
  continue: {
    path: '/v1/chat/completions',
    first: chat([{ role: 'system', content: instructions }, user(question)]),
    second: (answer) =>
      chat([
        { role: 'system', content: instructions },
        user(question),
        assistant(answer),
        user(next),
      ]),
  },
  'claude-code': {
    path: '/v1/messages',
    first: { ...chat([user(question)]), system: claudeSystem('a5145') },
    second: (answer) => ({
      ...chat([user(question), assistant(answer), user(next)]),
      system: claudeSystem('0f3c2'),
    }),
  },
};

function responses(input: readonly object[]): object {
  return { model: 'default', instructions, input, max_output_tokens: 4, temperature: 0 };
}

/** What an answer of any of the APIs says: its text, and how much of its prompt was cached. */
function read({ json }: { readonly json: Json }) {
  const usage = json.usage as unknown as Record<string, number & Record<string, number>>;
  const details = usage.prompt_tokens_details ?? usage.input_tokens_details;
  const cached = Number(usage.cache_read_input_tokens ?? details?.cached_tokens);
  const fresh = Number(usage.prompt_tokens ?? usage.input_tokens);
  const apart = usage.cache_read_input_tokens === undefined ? 0 : cached;
  const choices = json.choices as unknown as { message: { content: string } }[] | undefined;
  const output = json.output as unknown as { content: { text: string }[] }[] | undefined;
  const content = json.content as unknown as { text: string }[] | undefined;
  const text =
    choices?.[0]?.message.content ?? output?.[0]?.content[0]?.text ?? content?.[0]?.text ?? '';
  return { cached, prompt: fresh + apart, text };
}

describe('stamps of agents', () => {
  let server: TestServer;
  const lines: string[] = [];
  before(async () => {
    server = await startServer({
      slots: 6,
      logPrompts: true,
      log: (_, text, fields) => {
        if (text === 'prefix differs') lines.push(JSON.stringify(fields));
      },
    });
  });
  after(() => server.close(0));

  for (const [name, { path, first, second }] of Object.entries(agents)) {
    test(`a second turn of ${name} costs its own tokens`, async () => {
      const one = read(await post(server, path, first));
      assert.ok(one.prompt > 100, String(one.prompt));
      const two = read(await post(server, path, second(one.text)));
      assert.ok(two.prompt > one.prompt);
      assert.ok(two.cached >= one.prompt - cue, `${two.cached} of ${one.prompt}`);
    });
  }

  test('a clock in the middle costs what is behind it, and the log has both readings', async () => {
    const at = (time: string): object =>
      chat([{ role: 'system', content: `${instructions}It is ${time}.\n${instructions}` }]);
    const one = read(await post(server, '/v1/chat/completions', at('10:00:01')));
    lines.length = 0;
    const two = read(await post(server, '/v1/chat/completions', at('10:02:33')));
    assert.ok(two.cached > one.prompt / 3 && two.cached < (one.prompt * 2) / 3, `${two.cached}`);
    const [miss = '{}'] = lines;
    const { had, got, same_bytes: same } = JSON.parse(miss) as Record<string, string>;
    assert.match(had ?? '', /^0:01\./, miss);
    assert.match(got ?? '', /^2:33/, miss);
    assert.ok(Number(same) >= instructions.length, miss);
  });
});
