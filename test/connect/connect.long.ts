/** `paceline connect` in a home of its own, against a server that only says what it has. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse as parseToml } from '@decimalturn/toml-patch';
import { tools } from '../../src/connect/tools.js';
import { jsonOf, paceline } from '../support/cli.js';
import { temporaryFile } from '../support/tiny-model.js';

const home = temporaryFile('home');
const bin = join(home, 'bin');
const outside = { CODEX_HOME: '', CLAUDE_CONFIG_DIR: '', CONTINUE_GLOBAL_DIR: '', APPDATA: '' };
const env = {
  ...outside,
  HOME: home,
  USERPROFILE: home,
  XDG_CONFIG_HOME: join(home, '.config'),
  PACELINE_API_KEY: '',
  PATH: [bin, process.env.PATH].join(delimiter),
};

/** Puts a program on the path that prints its arguments and what it was told. */
function fakeTool(name: string): void {
  const script = `#!${process.execPath}
const { ANTHROPIC_BASE_URL, ANTHROPIC_MODEL, OPENCODE_CONFIG_CONTENT } = process.env;
console.log(JSON.stringify({ args: process.argv.slice(2), ANTHROPIC_BASE_URL, ANTHROPIC_MODEL,
  opencode: JSON.parse(OPENCODE_CONFIG_CONTENT ?? 'null') }));
process.exitCode = 7;
`;
  writeFileSync(join(bin, name), script);
  chmodSync(join(bin, name), 0o755);
}

describe('connect', () => {
  let server: Server;
  let url: string;
  before(async () => {
    mkdirSync(bin, { recursive: true });
    server = createServer((request, response) => {
      const denied = request.headers.authorization === 'Bearer wrong';
      response.statusCode = denied ? 401 : 200;
      response.end(JSON.stringify({ data: [{ id: 'served', context_length: 20_000 }] }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => server.close());

  it('prints the settings of every tool, and writes nothing', async () => {
    for (const tool of Object.keys(tools)) {
      const result = await paceline(['connect', tool, '--url', url, '--json'], { env });
      assert.equal(result.code, 0, result.stderr);
      const told = jsonOf(result);
      const said = [told.text, ...(told.notes as string[])].join('\n');
      assert.ok(said.includes('served') && said.includes(url), said);
    }
    assert.deepEqual(readdirSync(home), ['bin']);
    for (const tool of ['codex', 'cline']) {
      const { stdout } = await paceline(['connect', tool, '--url', url], { env });
      assert.match(stdout, /[^\n]\n$/, 'what goes into a file ends its last line');
      if (tool === 'codex') assert.match(stdout, /^\[model_providers\.paceline\]$/m);
    }
  });

  it('writes once, after a backup, through links, and leaves the rest', async () => {
    const folder = join(home, '.codex');
    const real = join(home, 'dotfiles.toml');
    mkdirSync(folder);
    writeFileSync(real, '# mine\nmodel = "old"\n\n[mcp_servers.x]\ncommand = "a" # keep\n');
    chmodSync(real, 0o600);
    symlinkSync(real, join(folder, 'config.toml'));
    const write = ['connect', 'codex', '--write', '--url', url, '--json'];
    const first = jsonOf(await paceline(write, { env }));
    assert.equal(first.written, true);
    const text = readFileSync(real, 'utf8');
    for (const piece of ['# mine', 'command = "a" # keep']) assert.ok(text.includes(piece), text);
    const data = parseToml(text) as Record<string, unknown>;
    assert.equal(data.model, 'served');
    assert.equal(data.model_context_window, 20_000);
    assert.deepEqual(JSON.parse(JSON.stringify(data.model_providers)), {
      paceline: { name: 'Paceline', base_url: `${url}/v1`, wire_api: 'responses' },
    });
    assert.match(readFileSync(String(first.backup), 'utf8'), /model = "old"/);
    if (process.platform !== 'win32') assert.equal(statSync(real).mode & 0o777, 0o600);
    const second = jsonOf(await paceline(write, { env }));
    assert.deepEqual([second.written, second.backup], [false, null]);
    assert.equal(readFileSync(real, 'utf8'), text);
  });

  it('keys are in no file where the tool can read a variable', async () => {
    for (const tool of ['codex', 'opencode', 'zed']) {
      const args = ['connect', tool, '--url', url, '--api-key', 'secret', '--json'];
      const { stdout } = await paceline(args, { env });
      assert.ok(!stdout.includes('secret') && stdout.includes('PACELINE_API_KEY'), stdout);
    }
  });

  it('refuses what it can’t read, other keys and models, and files of Cline', async () => {
    const file = join(home, '.claude', 'settings.json');
    mkdirSync(join(home, '.claude'));
    writeFileSync(file, '{"env": [}');
    const wrong = [
      [['claude-code', '--write'], 6, /settings\.json can't be read/],
      [['cline', '--write'], 2, /keeps its settings/],
      [['codex', '--model', 'other'], 3, /no model other/],
      [['codex', '--api-key', 'wrong'], 5, /another key/],
      [['zed', '--run'], 2, /--write/],
      [['codex', 'exec'], 2, /--run/],
    ] as const;
    for (const [args, code, words] of wrong) {
      const result = await paceline(['connect', ...args, '--url', url], { env });
      assert.equal(result.code, code, result.stderr);
      assert.match(result.stderr, words);
    }
    assert.equal(readFileSync(file, 'utf8'), '{"env": [}');
  });

  const posix = { skip: process.platform === 'win32' ? 'programs there have no #! line' : false };
  it('starts a tool against a server that is there, and exits as it does', posix, async () => {
    fakeTool('opencode');
    const run = ['connect', '--run', 'opencode', '--url', url, '--', 'run', '--print-logs'];
    const result = await paceline(run, { env });
    assert.equal(result.code, 7, result.stderr);
    const told = JSON.parse(result.stdout) as Record<string, unknown>;
    assert.deepEqual(told.args, ['run', '--print-logs']);
    assert.equal((told.opencode as { model: string }).model, 'paceline/served');
    const missing = await paceline(['connect', '--run', 'codex', '--url', url], {
      env: { ...env, PATH: bin },
    });
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /npm install -g @openai\/codex/);
  });

  it('starts a server where none answers, which ends with the tool', posix, async () => {
    fakeTool('claude');
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
    const { port } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const address = `http://127.0.0.1:${port}`;
    const result = await paceline(
      ['connect', '--run', 'claude-code', '--url', address, '--ctx', '1024'],
      { env },
    );
    assert.equal(result.code, 7, result.stderr);
    const told = JSON.parse(result.stdout) as Record<string, unknown>;
    assert.equal(told.ANTHROPIC_BASE_URL, address);
    assert.equal(told.ANTHROPIC_MODEL, 'default');
    await assert.rejects(fetch(address), 'the server is gone');
  });
});
