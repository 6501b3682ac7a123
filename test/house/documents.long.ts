/**
 * Runs the code of documents: every block of shell and TypeScript that does not say why it can't be.
 * A line with `paceline serve` runs beside those after it, on a port of its own.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { freePort } from '../../src/backends/managed/free-port.js';
import { startServer, type TestServer } from '../server/support.js';
import { cliProgram } from '../support/cli.js';
import { type Block, codeBlocks } from '../support/documents.js';
import { repository } from '../support/repository.js';
import { temporaryFile } from '../support/tiny-model.js';

const address = '127.0.0.1:11711';
const home = temporaryFile('home');
const bin = join(home, 'bin');
// Inside the repository, where `paceline` and `paceline/ai-sdk` are what its package exports.
const scratch = join(repository, '.cache', `documents-${process.pid}`);

/** Runs a program in the repository, with settings and caches of its own. */
function run(command: string, args: readonly string[]): Promise<{ code: number; said: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: repository,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        HOME: home,
        USERPROFILE: home,
        XDG_CONFIG_HOME: join(home, 'config'),
        XDG_CACHE_HOME: join(home, 'cache'),
        PACELINE_CACHE: 'off',
        PATH: [bin, process.env.PATH].join(delimiter),
      },
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
    }
    const timer = setTimeout(() => child.kill('SIGKILL'), 300_000);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? -1, said });
    });
  });
}

/** The block as a script: servers in the background, ended at its end. */
async function scriptOf({ code }: Block): Promise<string> {
  const port = await freePort();
  const lines = code.replaceAll(address, `127.0.0.1:${port}`).split('\n');
  const served = lines.map((line) => {
    if (!/^(npx )?paceline serve /.test(line)) return line;
    const command = line.replace(/\s#.*$/, '');
    return `${command} --port ${port} & server=$!
for _ in $(seq 300); do curl -sf http://127.0.0.1:${port}/health >/dev/null && break; sleep 0.2; done`;
  });
  return `set -eu\nserver=\ntrap '[ -z "$server" ] || kill "$server"' EXIT\n${served.join('\n')}`;
}

const blocks = codeBlocks().filter(({ notRun }) => notRun === undefined);

describe('code in documents runs', { skip: process.platform === 'win32' }, () => {
  let server: TestServer;
  before(async () => {
    mkdirSync(bin, { recursive: true });
    mkdirSync(scratch, { recursive: true });
    const node = JSON.stringify(process.execPath);
    const programs = {
      paceline: `exec ${node} ${JSON.stringify(cliProgram)} "$@"`,
      npx: `case "$1" in
paceline) shift; exec ${node} ${JSON.stringify(cliProgram)} "$@";;
tsx) shift; exec ${node} --import tsx "$@";;
*) echo "no $1" >&2; exit 1;; esac`,
    };
    for (const [name, body] of Object.entries(programs)) {
      writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
      chmodSync(join(bin, name), 0o755);
    }
    // What an earlier run has written, a command would not write over.
    rmSync(join(repository, '.cache', 'commit-scan'), { recursive: true, force: true });
    server = await startServer();
  });
  after(async () => {
    await server.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  for (const block of blocks) {
    const { document, line, language, code } = block;
    // Lines without an import go on from those of another block.
    if (language === 'ts' && !/^import /m.test(code)) continue;
    it(`${document}:${line}`, async () => {
      if (language === 'sh') {
        const { code: exit, said } = await run('bash', ['-c', await scriptOf(block)]);
        assert.equal(exit, 0, said);
        return;
      }
      const file = join(scratch, `${document.replace(/\W/g, '-')}-${line}.ts`);
      writeFileSync(file, code.replaceAll(`http://${address}`, server.address));
      const { code: exit, said } = await run(process.execPath, ['--import', 'tsx', file]);
      assert.equal(exit, 0, said);
    });
  }
});
