/**
 * The native tests of attention over many random shapes, and of compressed attention with its streams: every path of this machine, and NEON under
 * qemu-user where Debian's cross compiler and qemu are installed. All fused paths must give the
 * same bytes, the processors' architectures included.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { nativeLibraryFile } from '../../../src/ggml/native/library.js';
import { armLibrary } from '../../support/arm-library.js';

const folder = mkdtempSync(join(tmpdir(), 'paceline-attention-'));
const rounds = process.env.PACELINE_ATTENTION_ROUNDS ?? '10';

function has(command: string): boolean {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Builds the test against a library. */
function build(test: string, compiler: string, library: string): string {
  const native = join(dirname(library), '..', '..');
  const program = join(folder, `${compiler}-${test}`);
  execFileSync(compiler, [
    ...['-std=c++17', '-O2', '-ffp-contract=off', join(native, 'test', `${test}.cpp`)],
    ...[library, `-Wl,-rpath,${dirname(library)}`, '-lpthread', '-o', program],
  ]);
  return program;
}

/** Runs the test, perhaps by another program, and returns its lines by path. */
function run(program: string, runner: readonly string[] = [], seed = 1): Map<string, string> {
  const [command = program, ...options] = [...runner, program, '', rounds, String(seed)];
  const text = execFileSync(command, options, { encoding: 'utf8' });
  return new Map(text.split('\n').map((line) => [line.split(':')[0] ?? '', line]));
}

const sumOf = (line: string | undefined) => /sum (\w+)/.exec(line ?? '')?.[1];

after(() => rmSync(folder, { recursive: true, force: true }));
const own = nativeLibraryFile();
const compiler = ['g++', 'clang++', 'c++'].find(has);
const cross = 'aarch64-linux-gnu-g++';
const skip = process.arch === 'arm64' || !has(cross) || !has('qemu-aarch64');

for (const test of ['attention_test', 'compressed_test']) {
  describe(`native ${test} over random shapes`, () => {
    let sum: string | undefined;

    it('holds on every path of this machine', () => {
      assert.ok(own !== undefined && compiler !== undefined, 'no kernels or no compiler');
      const program = build(test, compiler, own);
      const lines = run(program);
      assert.ok(lines.size > 1);
      sum = sumOf([...lines.values()][0]);
      assert.ok(sum !== undefined);
      // Where work is cut depends on the shape: more of them, on the machine itself.
      for (const seed of [2, 3, 4, 5, 6, 7, 8]) run(program, [], seed);
    });

    it('holds with NEON', { skip: skip && 'needs the cross compiler and qemu-user' }, async () => {
      const arm = await armLibrary();
      assert.ok(arm !== undefined);
      const program = build(test, cross, arm);
      const lines = run(program, ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu']);
      assert.ok(lines.has('neon'));
      assert.equal(sumOf(lines.get('neon')), sum);
    });
  });
}
