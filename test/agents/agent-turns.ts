/**
 * Coding agents complete a turn with tools against `paceline serve`: they ask, are told to read a
 * file, read it, send what it holds, and show the answer. `npm run test:agents` installs them and
 * says where they are. What the model says was taught (`taught-model.ts`); everything else is real.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { type Endpoint, type ToolName, tools } from '../../src/connect/tools.js';
import { repository } from '../support/repository.js';
import { hermesCall, taughtTemplate, Unteachable, writeTaughtModel } from './taught-model.js';

const question = 'When does the bridge open? It is written in note.txt.';
const secret = 'heron-4711';
const answer = 'The bridge opens at seven';
const contextLength = 32_768;

interface Agent {
  readonly name: Extract<ToolName, 'codex' | 'opencode' | 'claude-code'>;
  /** The call that reads a file of the project. */
  readonly call: (file: string) => string;
  readonly args: (project: string) => readonly string[];
  /** Turns off what speaks to anybody else. */
  readonly env: Readonly<Record<string, string>>;
}

const agents: readonly Agent[] = [
  {
    name: 'codex',
    call: () => hermesCall('exec_command', { cmd: 'cat note.txt' }),
    args: (project) => [
      ...['-c', 'analytics.enabled=false', '-c', 'check_for_update_on_startup=false'],
      ...['-c', 'feedback.enabled=false'],
      // Plugins and apps are looked for on the net.
      ...['-c', 'features.plugins=false', '-c', 'features.apps=false'],
      // The sandbox wants more of the kernel than containers give.
      ...['exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox'],
      ...['--cd', project, question],
    ],
    env: {},
  },
  {
    name: 'opencode',
    call: (file) => hermesCall('read', { filePath: file }),
    args: () => ['run', question],
    env: {
      OPENCODE_DISABLE_AUTOUPDATE: '1',
      OPENCODE_DISABLE_MODELS_FETCH: '1',
      OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
      OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
      OPENCODE_DISABLE_SHARE: '1',
    },
  },
  {
    name: 'claude-code',
    call: (file) => hermesCall('Read', { file_path: file }),
    args: () => ['-p', question],
    env: { DISABLE_AUTOUPDATER: '1', DISABLE_TELEMETRY: '1', DISABLE_ERROR_REPORTING: '1' },
  },
];

/** Programs by agent, as `scripts/agents.mjs` has found them. */
const programs = JSON.parse(process.env.PACELINE_AGENTS ?? '{}') as Record<string, string>;

/** Takes the place of the rest of the world as a proxy, and remembers who was asked for. */
async function nobody(): Promise<{ readonly server: Server; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    // Whoever names no other host means this one: it stands in for a registry too.
    if (request.url?.startsWith('/') !== true) asked.push(request.url ?? '');
    response.writeHead(404).end();
  });
  server.on('connect', (request, socket) => {
    asked.push(request.url ?? '');
    socket.on('error', () => {});
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { server, asked };
}

interface LogLine {
  readonly message: string;
  readonly input?: string;
  /** Tokens of a prompt, and how many of them were cached. */
  readonly prompt?: number;
  readonly cached?: number;
}

interface Serving {
  readonly child: ChildProcess;
  readonly url: string;
  readonly log: readonly LogLine[];
}

/** `paceline serve` as a person starts it, with a log that has the prompts. */
async function serveModel(model: string): Promise<Serving> {
  const child = spawn(
    process.execPath,
    [
      ...[join(repository, 'dist/src/cli/main.js'), 'serve', model],
      ...['--port', '0', '--json', '--no-cache', '--log-format', 'json', '--log-prompts'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const log: LogLine[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    log.push(line.startsWith('{') ? (JSON.parse(line) as LogLine) : { message: line });
  });
  const [first] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { child, url: (JSON.parse(first) as { address: string }).address, log };
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const longestTurnMs = 240_000;

/** Runs a program in a world of its own: an empty home, and a proxy to nobody. */
async function runAgent(
  program: string,
  args: readonly string[],
  where: { readonly folder: string; readonly env: Readonly<Record<string, string>> },
): Promise<Ended> {
  const home = join(where.folder, 'home');
  const child = spawn(program, args, {
    cwd: join(where.folder, 'project'),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: longestTurnMs,
    env: {
      PATH: `${dirname(process.execPath)}:/usr/bin:/bin`,
      HOME: home,
      TMPDIR: where.folder,
      XDG_CONFIG_HOME: join(home, '.config'),
      XDG_DATA_HOME: join(home, '.local/share'),
      XDG_CACHE_HOME: join(home, '.cache'),
      XDG_STATE_HOME: join(home, '.local/state'),
      TERM: 'dumb',
      ...where.env,
    },
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...output };
}

/** Names of folders are drawn, and the model can't say each: another one then. */
const mostFolders = 50;

/** A folder with a home, a project with a note, and a model that asks to read the note. */
async function teachableFolder(agent: Agent): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const folder = mkdtempSync(join(tmpdir(), 'turn-'));
    for (const part of ['home', 'project']) mkdirSync(join(folder, part));
    const note = join(folder, 'project', 'note.txt');
    writeFileSync(note, `The bridge opens at seven. The word of the day is ${secret}.\n`);
    try {
      await writeTaughtModel(join(folder, 'taught.gguf'), {
        vocabulary: 'qwen2',
        template: taughtTemplate,
        texts: { answer, act: agent.call(note) },
        context: contextLength,
      });
      return folder;
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      if (!(error instanceof Unteachable) || attempt === mostFolders) throw error;
    }
  }
}

for (const agent of agents) {
  const { name } = agent;
  const program = programs[name];
  // The script has said which ones can't be had here.
  if (program === undefined) continue;

  describe(name, () => {
    let folder: string;
    let serving: Serving;
    let world: Awaited<ReturnType<typeof nobody>>;
    before(async () => {
      folder = await teachableFolder(agent);
      serving = await serveModel(join(folder, 'taught.gguf'));
      world = await nobody();
    });
    after(async () => {
      world?.server.close();
      if (serving?.child.kill('SIGTERM')) await once(serving.child, 'exit');
      rmSync(folder, { recursive: true, force: true });
    });

    it('asks, reads the file that it is told to read, and shows the answer', async (context) => {
      const endpoint: Endpoint = { url: serving.url, model: 'taught', contextLength };
      const { args = [], env }: { args?: readonly string[]; env?: Record<string, string> } =
        tools[name].launch(endpoint);
      const proxy = `http://127.0.0.1:${(world.server.address() as AddressInfo).port}`;
      const ended = await runAgent(program, [...args, ...agent.args(join(folder, 'project'))], {
        folder,
        env: {
          ...{ HTTP_PROXY: proxy, HTTPS_PROXY: proxy, ALL_PROXY: proxy },
          ...{ http_proxy: proxy, https_proxy: proxy, all_proxy: proxy },
          ...{ NO_PROXY: '127.0.0.1,localhost', no_proxy: '127.0.0.1,localhost' },
          // opencode looks for packages of plugins at every start.
          NPM_CONFIG_REGISTRY: proxy,
          ...env,
          ...agent.env,
        },
      });
      const report = `${ended.stdout}\n${ended.stderr}\n${serving.log
        .map((line) => JSON.stringify(line).slice(0, 600))
        .join('\n')}`;
      assert.equal(ended.code, 0, report);
      assert.ok(ended.stdout.includes(answer), report);
      const prompts = serving.log.flatMap(({ input }) => input ?? []);
      const first = prompts.findIndex((prompt) => prompt.includes(question));
      const second = prompts.findIndex((prompt) => prompt.includes(secret));
      assert.ok(first >= 0 && second > first, `No result of the tool came back: ${report}`);
      const texts = serving.log.filter(({ message }) => message === 'text');
      const longest = Math.max(...texts.slice(0, -1).map(({ prompt = 0 }) => prompt));
      // All of the prompt before is found again but for the cue at its end.
      assert.ok((texts.at(-1)?.cached ?? 0) >= longest - 1, report);
      const failures = serving.log.filter(({ message }) =>
        /^(GET|HEAD|POST|DELETE) \S+ [45]\d\d$/.test(message),
      );
      assert.deepEqual(failures, [], report);
      assert.deepEqual(world.asked, [], 'Somebody else was asked for');
      context.diagnostic(`${prompts.length} requests`);
    });
  });
}
