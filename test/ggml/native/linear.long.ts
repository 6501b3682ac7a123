/**
 * The native test of the matrix products: every path of this machine with real threads, and NEON
 * under qemu-user where Debian's cross compiler and qemu are installed.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { nativeLibraryFile } from '../../../src/ggml/native/library.js';
import { armLibrary } from '../../support/arm-library.js';

const folder = mkdtempSync(join(tmpdir(), 'paceline-linear-'));

function has(command: string): boolean {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Builds the test against a library, runs it, and returns the paths that passed. */
function run(compiler: string, library: string, runner: readonly string[]): readonly string[] {
  const program = join(folder, `${compiler}-test`);
  const source = join(dirname(library), '..', '..', 'test', 'linear_test.cpp');
  execFileSync(compiler, [
    ...['-std=c++17', '-O2', '-ffp-contract=off', source, library],
    ...[`-Wl,-rpath,${dirname(library)}`, '-lpthread', '-o', program],
  ]);
  const [command = program, ...options] = [...runner, program];
  const text = execFileSync(command, options, { encoding: 'utf8' });
  return [...text.matchAll(/^(\w+): ok$/gm)].map(([, path]) => path ?? '');
}

describe('native matrix products', () => {
  after(() => rmSync(folder, { recursive: true, force: true }));
  const own = nativeLibraryFile();
  const compiler = ['g++', 'clang++', 'c++'].find(has);

  it('hold on every path of this machine', () => {
    assert.ok(own !== undefined && compiler !== undefined, 'no kernels or no compiler');
    assert.ok(run(compiler, own, []).includes('scalar'));
  });

  const cross = 'aarch64-linux-gnu-g++';
  const skip = process.arch === 'arm64' || !has(cross) || !has('qemu-aarch64');
  it('hold with NEON', { skip: skip && 'needs the cross compiler and qemu-user' }, async () => {
    const arm = await armLibrary();
    assert.ok(arm !== undefined);
    const passed = run(cross, arm, ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu']);
    assert.deepEqual(passed, ['neon', 'scalar']);
  });
});
