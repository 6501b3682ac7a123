/**
 * Step 3 of the set-up: the C++ kernels. They only make things faster, so that a machine without a
 * compiler gets a warning and goes on with ggml's own kernels.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { filesUnder, fingerprint, stampMatches, writeStamp } from './fingerprint.mjs';
import { root, run } from './process.mjs';
import { say, step } from './say.mjs';

const stamp = '.cache/native.stamp';
const outputs = ['build', 'prebuilt', 'test'];

/** Runs `native/build.mjs` unless its outputs were already made from exactly these sources. */
export async function buildNative({ force = false } = {}) {
  if (!existsSync(join(root, 'native', 'build.mjs'))) return false;
  const sources = filesUnder('native', { ignore: outputs });
  const value = fingerprint(sources, [process.platform, process.arch, process.env.CXX ?? '']);
  const built = ['build', 'prebuilt'].some((folder) => existsSync(join(root, 'native', folder)));
  if (!force && built && stampMatches(stamp, value)) return false;
  await step('building native kernels', async () => {
    const { code, output } = await run(process.execPath, [join('native', 'build.mjs')], {
      capture: true,
    });
    if (code === 0) {
      writeStamp(stamp, value);
      return;
    }
    const lines = output.trim().split('\n').slice(-5).join('\n       ');
    say(`warning: native kernels were not built (exit code ${code}); ggml's own will compute`);
    if (lines !== '') say(`       ${lines}`);
  });
  return true;
}
