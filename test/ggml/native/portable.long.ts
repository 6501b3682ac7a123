/**
 * The scalar path computes the same bytes on every processor: its kernels are compiled for this machine
 * and, where Debian's cross compiler and qemu are installed, for arm64, and must give the hashes that
 * are recorded here, for every type of weights and caches.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { repository } from '../../support/repository.js';

interface Built {
  readonly target: string;
  readonly program: string;
}
type Build = (name: string) => Promise<readonly Built[]>;

const recorded: readonly string[] = [
  'f32 c0b4a427e807ad25',
  'f16 d8f1ef9aa5e0e53b',
  'bf16 65bd370b1511c3e6',
  'q4_0 5a0549e70940474e',
  'q4_1 8ef18b269632a2d1',
  'q5_0 0b5927bc9794c9a6',
  'q5_1 d9047ee32c2d8a80',
  'q8_0 021c0a0f9ed7c9ea',
  'q2_k f7b3e5f56e6a4c1b',
  'q3_k a12c1e3a53edc477',
  'q4_k 14eb3f3f43075805',
  'q5_k 9947b83dfd12434f',
  'q6_k 544ca9dca7eda8d8',
  'iq4_nl 9c2b9079beb18553',
  'iq4_xs b577a8f177cd67aa',
  'mxfp4 7dad0982cf759891',
  'nvfp4 e145a87f45c46a7b',
  'q1_0 cc140050dbdd80dc',
  'q2_0 6e357b6f4f9c9943',
  'tq1_0 17b3e5a669c94d0f',
  'tq2_0 bb949f8e1ac86400',
  'iq2_xxs 28cd0ba49d585e0b',
  'iq2_xs b5f29c1534fe8e6c',
  'iq2_s b10070a7d6608ba7',
  'iq3_xxs a49cc6af4b907bc1',
  'iq3_s 551215796f3492f8',
  'iq1_s c653678ab481a247',
  'iq1_m 1c0fff7d31cd29be',
  'norms 795c14f3d4f0064b',
  'gates 91f7d42d69885d3f',
  'angles b68828596df46acd',
  'streams 89ad361a3c6316ae',
  'compressed attention c139e7e7b21b71c0',
  'attention over f32 f63424a81116b402',
  'attention over f16 6e8f659933ba2743',
  'attention over q8_0 a26bd8dbf5f45b40',
  'attention over i16 e4155233b08fd3cc',
];

/** How a program of a target is run here; undefined: not at all. */
function commandFor({ target, program }: Built): readonly string[] | undefined {
  if (target === `${process.platform}-${process.arch}`) return [program];
  try {
    execFileSync('qemu-aarch64', ['--version'], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  return ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu', program];
}

describe('the scalar path', () => {
  it('computes the recorded bytes', async (context) => {
    const script = pathToFileURL(join(repository, 'native', 'build.mjs')).href;
    const { buildPortable } = (await import(script)) as { buildPortable: Build };
    const built = await buildPortable('portable_test');
    if (built.length === 0) return context.skip('needs a C++ compiler');
    for (const one of built) {
      const [file, ...words] = commandFor(one) ?? [];
      if (file === undefined) {
        context.diagnostic(`${one.target} is not tried: qemu-aarch64 is not installed`);
        continue;
      }
      const found = execFileSync(file, words, { encoding: 'utf8' }).trim().split('\n');
      assert.deepEqual(found, recorded, one.target);
      context.diagnostic(`${one.target}: ${found.length} hashes`);
    }
  });
});
