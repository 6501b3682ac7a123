import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { type ChatStreams, chatOnTerminal } from '../../src/cli/chat/terminal.js';
import { answersAsChat } from '../../src/cli/commands/run.js';
import type { ModelLike, SessionLike } from '../../src/cli/engine.js';
import type {
  ChatMessage,
  ChatOptions,
  FinishReason,
  ModelInfo,
  StreamEvent,
} from '../../src/engine/types.js';
import { temporaryFile } from '../support/tiny-model.js';

const info: ModelInfo = {
  path: '/m.gguf',
  name: 'Echo',
  architecture: 'test',
  parameters: 1,
  vocabularySize: 1,
  embeddingLength: 1,
  pooling: undefined,
  purpose: 'text',
  trainedContextLength: 1,
  contextLength: 1,
  weightBytes: 1,
  exact: true,
  kvType: 'f16',
  memoryPlan: '',
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

const end = (text: string, finishReason: FinishReason, promptTokens = 1): StreamEvent => ({
  type: 'end',
  generation: {
    text,
    tokens: [1],
    finishReason,
    promptTokens,
    cachedTokens: 0,
    seed: 0,
    timings: {
      queueMs: 0,
      restoreMs: 0,
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
  readonly experts = undefined;
  info = info;
  readonly asked: (readonly ChatMessage[])[] = [];
  readonly continued: string[] = [];
  sessions = 0;
  /** Whether answers end because the context is full. */
  cut = false;
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
    // Every message takes 20 tokens.
    const promptTokens = 20 * messages.length;
    if (promptTokens > this.info.contextLength && this.info.contextLength > 1) {
      throw new PacelineError('context-overflow', 'It does not fit');
    }
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
    yield end(text, this.cut ? 'length' : 'stop', promptTokens);
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
function open(settings: { chat?: boolean; system?: string; context?: number } = {}): Terminal {
  const model = new EchoModel();
  if (settings.context !== undefined) model.info = { ...info, contextLength: settings.context };
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

const paste = (text: string): string => `\u001b[200~${text}\u001b[201~`;

/** The last message of each turn. */
function said({ model }: Terminal): (string | undefined)[] {
  return model.asked.map((messages) => messages.at(-1)?.content);
}

test('pasted lines are one message, whatever is in them, and can be edited and recalled', async () => {
  const chat = open();
  chat.type(`before ${paste('one\r\ttwo\r\n\u001b[2Jthree\r')} after\u007f\r`);
  // Marks may come in pieces, and pastes while nobody waits.
  for (const key of `${paste('a\nb')}\r`) chat.type(key);
  chat.type('\u001b[A\r');
  chat.type('/exit\r');
  await chat.done;
  assert.deepEqual(said(chat), ['before one\n\ttwo\n[2Jthree afte', 'a\nb', 'a\nb']);
  assert.ok(chat.screen().startsWith('\u001b[?2004h'));
  assert.ok(chat.screen().includes('\u001b[?2004l'));
});

test('a long paste is a placeholder on the screen and itself in the message', async () => {
  const long = Array.from({ length: 400 }, (_, line) => `line ${line}`).join('\n');
  const chat = open();
  chat.type(`${paste(long)} and so on\r`);
  chat.type('/exit\r');
  await chat.done;
  assert.deepEqual(said(chat), [`${long} and so on`]);
  assert.match(chat.screen(), /\[paste 1: 400 lines\]/);
  assert.ok(!chat.history.some((line) => line.includes('paste')));
});

test('several lines between three quotes, or with backslashes; Ctrl-C drops what was begun', async () => {
  const chat = open();
  chat.type('"""one\r/two\r"""\r');
  chat.type('"""single"""\r');
  chat.type('three\\\rfour\r');
  chat.type('"""dropped\rhere\u0003');
  await new Promise((resolve) => setTimeout(resolve, 50));
  chat.type('five\r"""/exit"""\r/exit\r');
  await chat.done;
  assert.deepEqual(said(chat), ['one\n/two', 'single', 'three\nfour', 'five', '/exit']);
});

test('two slashes begin a message; lines that begin with a path are one, too', async () => {
  const chat = open();
  chat.type('//etc/hosts\r/etc/passwd\r');
  chat.type(`${paste('/usr/bin\n/usr/lib')}\r/exit\r`);
  await chat.done;
  assert.deepEqual(said(chat), ['/etc/hosts', '/usr/bin\n/usr/lib']);
  assert.match(chat.screen(), /Unknown command \/etc\/passwd.*slash, type two/);
});

test('/load goes on with what /save wrote, /read sends a file, both refuse what they cannot use', async () => {
  const saved = temporaryFile('saved-for-load.json');
  const text = temporaryFile('message.txt');
  await writeFile(text, 'from a file\n');
  const first = open({ system: 'Be brief.' });
  first.type(`hello\r/save ${saved}\r/exit\r`);
  await first.done;
  const chat = open();
  chat.type(`forgotten\r/load ${saved}\rand then\r/read ${text}\r`);
  chat.type(`/load ${text}\r/load /nowhere\r/load\r/exit\r`);
  await chat.done;
  assert.deepEqual(
    chat.model.asked[1]?.map(({ role, content }) => `${role}: ${content}`),
    ['system: Be brief.', 'user: hello', 'assistant: 2: hello', 'user: and then'],
  );
  assert.equal(said(chat).at(-1), 'from a file');
  assert.match(chat.screen(), /message\.txt holds no conversation/);
  assert.match(chat.screen(), /\/load failed: ENOENT/);
  assert.match(chat.screen(), /Which file\? \/load FILE/);
});

test('when the context is full the oldest turns go, the system message stays; /context tells', async () => {
  const chat = open({ system: 'Be brief.', context: 200 });
  const turns = ['a', 'b', 'c', 'd', 'e', 'f'];
  chat.type(`${turns.map((turn) => `${turn}\r`).join('')}/context\r/exit\r`);
  await chat.done;
  for (const messages of chat.model.asked) {
    assert.equal(messages[0]?.content, 'Be brief.');
    assert.ok(messages.length <= 10);
    // Whole turns: question and answer alternate.
    assert.ok(messages.slice(1).every(({ role }, at) => role === (at % 2 ? 'assistant' : 'user')));
  }
  assert.deepEqual(said(chat), turns);
  assert.match(chat.screen(), /oldest turns are forgotten: the context was full/);
  assert.match(chat.screen(), /\d+ of 200 tokens are used \(\d+%\), by \d turns?;/);
});

test('an answer that was cut says so', async () => {
  const chat = open();
  chat.model.cut = true;
  chat.type('go\r/exit\r');
  await chat.done;
  assert.match(chat.screen(), /cut: the context of 1 tokens is full/);
});
