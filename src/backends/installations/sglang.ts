/** How SGLang is installed. */
import type { Installation } from '../descriptor.js';

/** In the order in which they are preferred. */
export const sglangInstallations: readonly Installation[] = [
  {
    kind: 'python',
    variant: 'cuda',
    version: '0.5.23',
    tested: 'Dry-run only: its packages resolve, and every wheel has a hash.',
    platforms: ['linux-x64'],
    devices: ['cuda'],
    downloadBytes: 4.36e9,
    installedBytes: 10e9,
    pythons: ['3.12', '3.13'],
    requirements: ['sglang==0.5.23'],
    extraIndexes: [],
    locks: { 'linux-x64': 'sglang-cuda.linux-x64.txt' },
    environment: {},
    program: ['bin/python', '-m', 'sglang.launch_server'],
  },
];
