/**
 * The AMX path gives the bytes of the AVX-512 path: on the hardware where there is any, else on
 * emulated instructions (`native/test/amx_test.cpp`). Needs AVX-512 and a compiler that knows AMX.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { requireKernels } from './support.js';

const kernels = requireKernels();

describe('the AMX path', () => {
  const reason = (): string | false => {
    if (process.platform !== 'linux') return 'Linux only';
    return kernels.paths.includes('avx512vbmi') ? false : 'needs AVX-512 VBMI';
  };
  it('gives the bytes of the AVX-512 path', { skip: reason() }, (context) => {
    const build = join(dirname(kernels.file), '..', '..', 'build.mjs');
    const program = execFileSync(process.execPath, [build, '--programs', 'amx_test'], {
      ...({ encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] } as const),
    }).trim();
    if (program === '') return context.skip('needs a compiler that knows AMX');
    const kind = kernels.paths.includes('amx') ? 'hardware' : 'emulated';
    assert.equal(execFileSync(program, { encoding: 'utf8' }), `ok ${kind}\n`);
  });
});
