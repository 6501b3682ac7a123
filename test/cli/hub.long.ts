/** pull, ls, show, run and rm as a user and a script meet them, against a hub of our own. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { miniGguf } from '../hub/support/hub-double.js';
import { Workspace } from '../hub/support/workspace.js';
import { cliProgram, jsonOf, paceline } from '../support/cli.js';
import { repository } from '../support/repository.js';
import { tinyModel } from '../support/tiny-model.js';

const small = miniGguf('llama', 1000);

async function withModel(content: Buffer = small): Promise<Workspace> {
  const machine = await Workspace.open();
  machine.hub.commit('acme/widget-GGUF', { 'widget-Q4_K_M.gguf': content });
  return machine;
}

function run(machine: Workspace, args: string, env: Record<string, string> = {}) {
  return paceline(args.split(' '), { env: { ...machine.variables, ...env } });
}

test('from the hub to text, and away again', async () => {
  const content = readFileSync(await tinyModel());
  await using machine = await withModel(content);
  const name = 'hf:acme/widget-GGUF';
  const refused = await run(machine, `run ${name} Hi -n 4`);
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /paceline pull hf:acme\/widget-GGUF/);
  assert.deepEqual(machine.hub.seen, []);

  const pulled = await run(machine, `pull ${name} --name widget --json`);
  assert.equal(pulled.code, 0, pulled.stderr);
  const report = jsonOf(pulled);
  assert.equal(report.name, 'hf:acme/widget-GGUF:Q4_K_M');
  assert.equal(report.downloaded_bytes, content.length);
  assert.equal(report.alias, 'widget');
  assert.equal(report.why, 'the only one');
  assert.ok(existsSync(String(report.path)));

  const shown = jsonOf(await run(machine, 'show widget --json'));
  assert.deepEqual(
    [shown.path, shown.aliases, shown.bytes],
    [report.path, ['widget'], content.length],
  );
  const list = await run(machine, 'ls');
  assert.match(list.stdout, /hf:acme\/widget-GGUF:Q4_K_M +widget +.*Q4_K_M +just now/);

  const text = await run(machine, 'run widget Hi -n 4 --raw --json', { HF_HUB_OFFLINE: '1' });
  assert.equal(text.code, 0, text.stderr);
  assert.equal((jsonOf(text).tokens as number[]).length, 4);
  const inspected = await run(machine, 'inspect widget --json');
  assert.equal(jsonOf(inspected).file_bytes, content.length);

  const unasked = await run(machine, 'rm widget');
  assert.equal(unasked.code, 2);
  assert.match(unasked.stderr, /--yes/);
  assert.ok(existsSync(String(report.path)));
  const removed = jsonOf(await run(machine, 'rm widget --yes --json'));
  assert.deepEqual(removed.aliases, ['widget']);
  assert.deepEqual(jsonOf(await run(machine, 'ls --json')), { models: [], unfinished: [] });
  assert.equal((await run(machine, 'rm widget --yes')).code, 3);
});

test('run --yes pulls what is not here', async () => {
  await using machine = await withModel(readFileSync(await tinyModel()));
  const text = await run(machine, 'run hf:acme/widget-GGUF:Q4_K_M Hi -n 2 --raw --yes --json');
  assert.equal(text.code, 0, text.stderr);
  assert.match(text.stderr, /hf:acme\/widget-GGUF:Q4_K_M: \d/);
});

test('failures have the exit codes of the contract', async () => {
  await using machine = await withModel();
  const codes = async (args: string, env: Record<string, string> = {}) =>
    (await run(machine, args, env)).code;
  assert.equal(await codes('pull hf:acme/nothing'), 3);
  assert.equal(await codes('pull hf:acme/widget-GGUF:Q9'), 3);
  assert.equal(await codes('pull hf:../x'), 2);
  assert.equal(await codes('pull widget'), 2);
  assert.equal(await codes('pull hf:acme/widget-GGUF --name a/b'), 2);
  assert.equal(await codes('show hf:acme/widget-GGUF'), 3);
  const unknown = await run(machine, 'run widget Hi');
  assert.equal(unknown.code, 3);
  assert.match(unknown.stderr, /paceline pull hf:owner\/repo --name widget/);
  assert.equal(await codes('pull hf:acme/widget-GGUF', { HF_ENDPOINT: 'http://127.0.0.1:1' }), 5);
  assert.equal(await codes('pull hf:acme/widget-GGUF', { HF_HUB_OFFLINE: '1' }), 5);
  const stored = machine.hub.repositories.get('acme/widget-GGUF');
  assert.ok(stored !== undefined);
  Object.assign(stored, { token: 'x', gated: true });
  const gated = await run(machine, 'pull hf:acme/widget-GGUF --json');
  assert.equal(gated.code, 5);
  assert.equal((jsonOf(gated).error as { code: string }).code, 'unauthorized');
});

/** A pull in a process of its own that can be stopped. */
function startPull(machine: Workspace): { child: ChildProcess; ended: Promise<string> } {
  const args = ['pull', 'hf:acme/widget-GGUF', '--connections', '3'];
  const child = spawn(process.execPath, [cliProgram, ...args], {
    cwd: repository,
    env: { ...process.env, ...machine.variables },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = new Promise<string>((resolve) => {
    child.on('close', (code, signal) => resolve(`${code ?? signal}\n${said}`));
  });
  return { child, ended };
}

/** Bytes that the journal of the one unfinished download notes. */
function notedBytes(machine: Workspace): number {
  const blobs = join(machine.repository, 'blobs');
  const name = existsSync(blobs)
    ? readdirSync(blobs).find((path) => path.endsWith('.journal'))
    : undefined;
  if (name === undefined) return 0;
  const [, ...lines] = readFileSync(join(blobs, name), 'utf8').trimEnd().split('\n');
  return lines.reduce((sum, line) => {
    const [start = 0, end = 0] = line.split(' ').map(Number);
    return sum + end - start;
  }, 0);
}

const large = miniGguf('llama', 16 * 2 ** 20, 9);

for (const [signal, expected] of [
  ['SIGKILL', 'SIGKILL'],
  ['SIGINT', '130'],
] as const) {
  test(`a pull that ${signal} ended goes on, and fetches nothing twice but the last mebibytes`, async () => {
    await using machine = await withModel(large);
    machine.hub.fault = ({ host }) =>
      host === 'storage' ? { slow: { bytes: 64 * 1024, pauseMs: 4 } } : undefined;
    const { child, ended } = startPull(machine);
    while (notedBytes(machine) < 5 * 2 ** 20 && child.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    child.kill(signal);
    assert.equal((await ended).split('\n')[0], expected);
    const noted = notedBytes(machine);
    assert.ok(noted >= 5 * 2 ** 20 && noted < large.length, `${noted}`);
    machine.hub.fault = () => undefined;
    machine.hub.seen.length = 0;
    const again = jsonOf(await run(machine, 'pull hf:acme/widget-GGUF --json'));
    assert.equal(again.downloaded_bytes, large.length - noted);
    assert.equal(machine.hub.rangedBytes, large.length - noted);
    assert.ok(readFileSync(String(again.path)).equals(large));
  });
}

test('two processes that pull the same file download it once', async () => {
  await using machine = await withModel(large);
  machine.hub.fault = ({ host }) =>
    host === 'storage' ? { slow: { bytes: 256 * 1024, pauseMs: 10 } } : undefined;
  const results = await Promise.all([startPull(machine).ended, startPull(machine).ended]);
  assert.deepEqual(
    results.map((result) => result.split('\n')[0]),
    ['0', '0'],
    results.join('\n'),
  );
  assert.match(results.join(), /waiting for process \d+, which pulls widget-Q4_K_M\.gguf/);
  assert.equal(machine.hub.rangedBytes, large.length);
});

test('proxies come from the environment', async () => {
  await using machine = await withModel();
  const asked: string[] = [];
  // Whatever host is asked for, it is the double that answers, on the port of its hub.
  const proxy = createServer();
  const port = Number(new URL(machine.hub.url).port);
  proxy.on('connect', (request, socket, head) => {
    asked.push(request.url ?? '');
    const target = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      if (head.length > 0) target.write(head);
      target.pipe(socket).pipe(target);
    });
    for (const end of [target, socket]) end.on('error', () => end.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  try {
    const env = {
      HF_ENDPOINT: 'http://hub.invalid',
      HTTP_PROXY: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
      NO_PROXY: '127.0.0.1',
    };
    const pulled = await run(machine, 'pull hf:acme/widget-GGUF', env);
    assert.equal(pulled.code, 0, pulled.stderr);
    // The storage is at 127.0.0.1, which NO_PROXY keeps away from the proxy.
    assert.ok(asked.length > 0 && asked.every((host) => host === 'hub.invalid:80'), asked.join());
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});
