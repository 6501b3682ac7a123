/** Which installation suits which machine, and whether what descriptors pin is whole. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BackendDescriptor, PythonInstallation } from '../../../src/backends/descriptor.js';
import { chipName, type Machine, thisMachine } from '../../../src/backends/install/machine.js';
import { lockOf } from '../../../src/backends/install/python.js';
import { type Choice, selectInstallation } from '../../../src/backends/install/select.js';
import { backendStatus } from '../../../src/backends/install/status.js';
import { backends } from '../../../src/backends/registry.js';
import { sglang } from '../../../src/backends/sglang.js';
import { vllm } from '../../../src/backends/vllm.js';
import { newFolder } from './support.js';

const linux = (devices: Machine['devices'], chips: readonly string[] = []): Machine => ({
  ...{ platform: 'linux-x64', devices: [...devices, 'cpu'], chips },
});

function chosen(backend: BackendDescriptor, machine: Machine, choice: Choice = {}): string {
  const { installation, asset } = selectInstallation(backend, machine, choice);
  return asset === undefined ? installation.variant : `${installation.variant} ${asset.tag}`;
}

test('a machine gets the variant of its devices and the archive of its chip', () => {
  const amd = ['rocm'] as const;
  assert.equal(chosen(vllm, linux([])), 'cpu');
  assert.equal(chosen(vllm, linux(['cuda'])), 'cuda');
  assert.match(chosen(vllm, linux(amd, ['gfx1151'])), /^rocm vllm0\.25\.2.*-gfx1151$/);
  assert.match(chosen(vllm, linux(amd, ['gfx1150'])), /^rocm vllm0\.25\.2.*-gfx1150$/);
  // The Radeon Pro W7800, and RDNA 4.
  assert.equal(chosen(vllm, linux(amd, ['gfx1100'])), 'rocm vllm0.20.1-rocm7.12.0-gfx110X');
  assert.equal(chosen(vllm, linux(amd, ['gfx1201'])), 'rocm vllm0.20.1-rocm7.12.0-gfx120X');
  // A chip that nothing was built for, beside one that something was built for, and alone.
  assert.match(chosen(vllm, linux(amd, ['gfx906', 'gfx1151'])), /gfx1151$/);
  assert.equal(chosen(vllm, linux(amd, ['gfx906'])), 'cpu');
});

test('who names a variant or a chip gets that', () => {
  assert.match(chosen(vllm, linux([]), { chip: 'gfx1151' }), /gfx1151$/);
  assert.match(chosen(vllm, linux(['cuda']), { variant: 'rocm', chip: 'gfx1100' }), /gfx110X$/);
  assert.equal(chosen(vllm, linux([]), { variant: 'cpu-pypi' }), 'cpu-pypi');
  assert.equal(chosen(sglang, linux([]), { variant: 'cuda' }), 'cuda');
});

test('what does not suit is refused with its reasons', () => {
  const refused = (backend: BackendDescriptor, machine: Machine, choice: Choice = {}) => {
    try {
      selectInstallation(backend, machine, choice);
    } catch (error) {
      return `${(error as { code: string }).code}: ${(error as Error).message}`;
    }
    return undefined;
  };
  const rocm = { variant: 'rocm' };
  assert.match(refused(vllm, linux([]), rocm) ?? '', /^platform: .*no chip was found/);
  assert.match(refused(vllm, linux(['rocm'], ['gfx906']), rocm) ?? '', /not for gfx906/);
  assert.match(refused(sglang, linux([])) ?? '', /^platform: .*cuda needs cuda/);
  assert.match(refused(vllm, linux([]), { variant: 'tpu' }) ?? '', /^usage: .*"tpu"/);
  const mac = { platform: 'darwin-arm64', devices: ['metal', 'cpu'], chips: [] } as const;
  assert.match(refused(vllm, mac) ?? '', /^platform: .*darwin-arm64/);
  for (const backend of backends.filter(({ installations }) => installations.length === 0)) {
    assert.match(refused(backend, linux([])) ?? '', /^usage: .*not installed by Paceline/);
  }
});

test('chips are read from the kernel, cards of their own first', () => {
  for (const [version, name] of [
    [110_501, 'gfx1151'],
    [110_000, 'gfx1100'],
    [120_001, 'gfx1201'],
    [90_402, 'gfx942'],
    [90_010, 'gfx90a'],
    [100_302, 'gfx1032'],
    [0, undefined],
  ] as const) {
    assert.equal(chipName(version), name);
  }
  const root = newFolder();
  for (const [node, version] of [0, 110_501, 110_000].entries()) {
    const folder = join(root, 'sys/class/kfd/kfd/topology/nodes', String(node));
    mkdirSync(folder, { recursive: true });
    const text = `cpu_cores_count 0\nsimd_count 80\ngfx_target_version ${version}\ndrm_render_minor 128\n`;
    writeFileSync(join(folder, 'properties'), text);
  }
  const machine = thisMachine(root);
  const expected = process.platform === 'linux' ? ['gfx1100', 'gfx1151'] : [];
  assert.deepEqual(machine.chips, expected);
  assert.ok(machine.devices.includes('cpu'));
});

test('every list of packages names all with one version and the hashes of wheels', () => {
  const installations = backends.flatMap((backend) => backend.installations);
  const python = installations.filter((one): one is PythonInstallation => one.kind === 'python');
  assert.ok(python.length >= 4);
  for (const installation of python) {
    for (const platform of installation.platforms) {
      const text = readFileSync(lockOf(installation, platform), 'utf8').replace(/ \\\n/g, ' ');
      const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
      assert.ok(lines.length > 100);
      const marker = '(?: ; python_version == "3\\.1[23]")?';
      const shape = new RegExp(
        `^[a-z0-9-]+==[0-9][0-9a-z.+]*${marker}(?: +--hash=sha256:[0-9a-f]{64})+$`,
      );
      for (const line of lines) assert.match(line, shape, installation.variant);
      for (const requirement of installation.requirements) {
        assert.ok(text.includes(`\n${requirement} `), requirement);
      }
      // PyTorch for processors brings nothing of CUDA.
      if (installation.variant === 'cpu') assert.doesNotMatch(text, /^nvidia-/m);
    }
  }
});

test('archives name parts that fit their chips', () => {
  for (const installation of backends.flatMap((backend) => backend.installations)) {
    if (installation.kind !== 'archive') continue;
    const chips = installation.assets.flatMap((asset) => asset.chips);
    assert.equal(new Set(chips).size, chips.length);
    for (const { tag, name, recorded } of installation.assets) {
      assert.equal(name, `${tag}-x64.tar.gz`);
      for (const part of recorded) {
        assert.ok(part.name.startsWith(`${tag}-x64.part`));
        assert.match(part.sha256, /^[0-9a-f]{64}$/);
      }
    }
  }
});

test('each state names the command that comes next', async () => {
  const [data, machine] = [newFolder(), linux([])];
  const states = new Map<string, string | undefined>();
  for (const backend of backends) {
    const { state, next, message } = await backendStatus(backend, { data, machine, env: {} });
    assert.match(message, /\.$/);
    states.set(`${backend.name} ${state}`, next);
  }
  assert.deepEqual(
    [...states],
    [
      ['paceline built-in', 'paceline serve'],
      ['vllm installable', 'paceline backends install vllm'],
      ['sglang unsupported', 'paceline serve --upstream sglang=URL'],
      ['llama-server missing', 'export PACELINE_LLAMA_SERVER=PATH'],
      ['ollama attached', 'paceline serve --upstream ollama=URL'],
      ['openai attached', 'paceline serve --upstream openai=URL'],
    ],
  );
});
