import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { type ChatStreams, chatOnTerminal } from '../../src/cli/chat/terminal.js';
import { answersAsChat } from '../../src/cli/commands/run.js';
import type { ModelLike, SessionLike } from '../../src/cli/engine.js';
import type { ChatMessage, ChatOptions, ModelInfo, StreamEvent } from '../../src/engine/types.js';
import { temporaryFile } from '../support/tiny-model.js';

const info: ModelInfo = {
  path: '/m.gguf',
  name: 'Echo',
  architecture: 'test',
  parameters: 1,
  vocabularySize: 1,
  trainedContextLength: 1,
  contextLength: 1,
  weightBytes: 1,
  kvType: 'f16',
  kvBytesPerToken: 1,
  drafters: [],
  threads: 1,
  kernels: 'none',
  recommendedSampling: {},
  warnings: [],
  hasChatTemplate: true,
  isBaseModel: false,
  loadMs: 1,
};

const end = (text: string, finishReason: 'stop' | 'abort'): StreamEvent => ({
  type: 'end',
  generation: {
    text,
    tokens: [1],
    finishReason,
    promptTokens: 1,
    cachedTokens: 0,
    seed: 0,
    timings: {
      queueMs: 0,
      prefillMs: 1,
      prefillTokensPerSecond: 1,
      decodeMs: 1,
      decodeTokensPerSecond: 1,
    },
    draft: { kind: 'none', steps: 1, drafted: 0, accepted: 0, byDrafter: {} },
  },
});

/** A model that answers with the number of messages and the last one; `forever` until it is stopped. */
class EchoModel implements ModelLike {
  readonly info = info;
  readonly asked: (readonly ChatMessage[])[] = [];
  readonly continued: string[] = [];
  sessions = 0;
  /** Called when an answer runs that has to be stopped. */
  onForever: () => void = () => {};

  createSession(): SessionLike {
    this.sessions++;
    return this;
  }

  async *stream(prompt: string, options: ChatOptions = {}): AsyncGenerator<StreamEvent, void> {
    this.continued.push(`${prompt} ${options.maxTokens}`);
    yield { type: 'text', text: ' goes on', tokens: [1], drafted: [false] };
    yield end(' goes on', 'stop');
  }

  async *streamChat(
    messages: readonly ChatMessage[],
    options: ChatOptions = {},
  ): AsyncGenerator<StreamEvent, void> {
    this.asked.push(messages);
    const last = messages.at(-1)?.content ?? '';
    if (last === 'too long') throw new PacelineError('context-overflow', 'It does not fit');
    const text = `${messages.length}: ${last}`;
    yield { type: 'text', text, tokens: [1], drafted: [false] };
    if (last === 'forever') {
      await new Promise<void>((resolve) => {
        options.signal?.addEventListener('abort', () => resolve());
        setImmediate(this.onForever);
      });
      yield end(text, 'abort');
      return;
    }
    yield end(text, 'stop');
  }

  async dispose(): Promise<void> {}
}

interface Terminal {
  readonly model: EchoModel;
  readonly screen: () => string;
  readonly type: (keys: string) => void;
  readonly done: Promise<void>;
  readonly history: string[];
}

/** A chat on streams in place of a terminal. */
function open(settings: { chat?: boolean; system?: string } = {}): Terminal {
  const model = new EchoModel();
  const input = new PassThrough();
  const output = new PassThrough();
  const history: string[] = [];
  let screen = '';
  output.setEncoding('utf8').on('data', (text: string) => {
    screen += text;
  });
  const streams = {
    input,
    output,
    history: { read: () => ['earlier'], write: (lines: string[]) => history.push(...lines) },
  } as unknown as ChatStreams;
  const done = chatOnTerminal(
    model,
    { chat: settings.chat ?? true, system: settings.system, options: {} },
    streams,
  );
  return { model, screen: () => screen, type: (keys) => input.write(keys), done, history };
}

test('a conversation: turns are remembered, /reset forgets, /exit leaves', async () => {
  const chat = open({ system: 'Be brief.' });
  chat.type('first\nsecond\n/reset\nthird\n/exit\n');
  await chat.done;
  assert.deepEqual(
    chat.model.asked.map((messages) => messages.map(({ role, content }) => `${role}: ${content}`)),
    [
      ['system: Be brief.', 'user: first'],
      ['system: Be brief.', 'user: first', 'assistant: 2: first', 'user: second'],
      ['system: Be brief.', 'user: third'],
    ],
  );
  assert.equal(chat.model.sessions, 2);
  assert.match(chat.screen(), /4: second/);
  assert.deepEqual(chat.history.slice(0, 2), ['/exit', 'third']);
  assert.equal(chat.history.at(-1), 'earlier');
});

test('Ctrl-C stops the answer, not the program; what was said stays', async () => {
  const chat = open();
  chat.model.onForever = () => chat.type('typed too soon\u0003');
  chat.type('forever\n');
  await new Promise((resolve) => setTimeout(resolve, 50));
  chat.type('and then\n/exit\n');
  await chat.done;
  assert.match(chat.screen(), /stopped/);
  assert.doesNotMatch(chat.screen(), /too soon/);
  assert.deepEqual(
    chat.model.asked[1]?.map(({ content }) => content),
    ['forever', '1: forever', 'and then'],
  );
});

test('a signal stops the answer, too; what was typed meanwhile is the next line', async () => {
  const chat = open();
  chat.model.onForever = () => {
    chat.type('typed ahead\n/exit\n');
    setImmediate(() => process.emit('SIGINT'));
  };
  chat.type('forever\n');
  await chat.done;
  assert.deepEqual(
    chat.model.asked[1]?.map(({ content }) => content),
    ['forever', '1: forever', 'typed ahead'],
  );
});

test('Ctrl-C at the prompt warns once, then leaves with `aborted`; Ctrl-D leaves in peace', async () => {
  const warned = open();
  warned.type('half a line\u0003');
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.match(warned.screen(), /Ctrl-C again leaves/);
  warned.type('\u0003');
  await assert.rejects(warned.done, { code: 'aborted' });
  assert.deepEqual(warned.model.asked, []);
  const peaceful = open();
  peaceful.type('\u0004');
  await peaceful.done;
});

test('a turn that fails is reported and forgotten; the chat goes on', async () => {
  const chat = open();
  chat.type('too long\nshort\n/exit\n');
  await chat.done;
  assert.match(chat.screen(), /error: It does not fit/);
  assert.deepEqual(
    chat.model.asked[1]?.map(({ content }) => content),
    ['short'],
  );
});

test('a backslash joins lines; /help, /system, /save and unknown commands', async () => {
  const file = temporaryFile('saved-chat.json');
  const chat = open();
  chat.type(`one\\\ntwo\n/help\n/system Be kind.\nhello\n/save ${file}\n/save\n/dance\n/exit\n`);
  await chat.done;
  assert.equal(chat.model.asked[0]?.[0]?.content, 'one\ntwo');
  assert.match(chat.screen(), /\/save FILE/);
  assert.match(chat.screen(), /Unknown command \/dance/);
  const saved = JSON.parse(await readFile(file, 'utf8')) as { messages: ChatMessage[] };
  assert.deepEqual(
    saved.messages.map(({ role, content }) => `${role}: ${content}`),
    ['system: Be kind.', 'user: hello', 'assistant: 2: hello'],
  );
});

test('a base model continues each line as it is, within a limit', async () => {
  const chat = open({ chat: false });
  chat.type('const a =\n/exit\n');
  await chat.done;
  assert.deepEqual(chat.model.continued, ['const a = 128']);
  assert.match(chat.screen(), /const a = goes on|const a =\S* goes on/);
});

test('a prompt is a message where there is a chat template and no word against it', () => {
  const instruct = { hasChatTemplate: true, isBaseModel: false };
  const base = { hasChatTemplate: true, isBaseModel: true };
  const bare = { hasChatTemplate: false, isBaseModel: false };
  assert.equal(answersAsChat(instruct, {}), true);
  assert.equal(answersAsChat(instruct, { raw: true }), false);
  assert.equal(answersAsChat(base, {}), false);
  assert.equal(answersAsChat(base, { chat: true }), true);
  assert.equal(answersAsChat(base, { system: 'Be brief.' }), true);
  assert.equal(answersAsChat(bare, {}), false);
  assert.throws(() => answersAsChat(bare, { chat: true }), { code: 'usage' });
  assert.throws(() => answersAsChat(instruct, { raw: true, system: 'x' }), { code: 'usage' });
});
