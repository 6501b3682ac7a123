/**
 * Step 3 of the set-up: the C++ kernels. They only make things faster, so that a machine without a
 * compiler gets a warning and goes on with ggml's own kernels.
 */
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { filesUnder, fingerprint, stampMatches, writeStamp } from './fingerprint.mjs';
import { root } from './process.mjs';
import { say, step } from './say.mjs';

const outputs = ['build', 'prebuilt', 'test', 'bench'];
const compilers = ['g++', 'clang++', 'c++', 'aarch64-linux-gnu-g++'];

/** Where the compilers are that the build may find; a new one is a reason to try again. */
function compilersOnPath() {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return compilers.flatMap((name) =>
    folders
      .map((folder) => join(folder, name))
      .filter((path) => {
        try {
          accessSync(path, constants.X_OK);
          return true;
        } catch {
          return false;
        }
      })
      .slice(0, 1),
  );
}

function ownLibrary() {
  const folder = `${process.platform}-${process.arch}`;
  const extension = process.platform === 'darwin' ? 'dylib' : 'so';
  return join(root, 'native', 'prebuilt', folder, `libpaceline-kernels.${extension}`);
}

/**
 * Builds the kernels of this machine, or with `all` also those that can be cross-compiled, unless
 * that was already tried with exactly these sources and compilers.
 */
export async function buildNative({ force = false, all = false } = {}) {
  const script = join(root, 'native', 'build.mjs');
  if (!existsSync(script)) return false;
  const stamp = `.cache/native${all ? '-all' : ''}.stamp`;
  const sources = filesUnder('native', { ignore: outputs });
  const value = fingerprint(sources, [process.env.CXX ?? '', ...compilersOnPath()]);
  const done = (built) => `${value} ${built ? 'built' : 'not-built'}`;
  const current =
    stampMatches(stamp, done(false)) ||
    (stampMatches(stamp, done(true)) && existsSync(ownLibrary()));
  if (!force && current) return false;
  await step(`building native kernels${all ? ' for all platforms at hand' : ''}`, async () => {
    try {
      const { buildNative: build } = await import(pathToFileURL(script).href);
      await build({ ownOnly: !all, log: (line) => say(line.trim().replaceAll('\n', '\n       ')) });
    } catch (error) {
      say(error instanceof Error ? error.message : String(error));
    }
    const built = existsSync(ownLibrary());
    if (!built) say("warning: no native kernels for this machine; ggml's own will compute");
    writeStamp(stamp, done(built));
  });
  return true;
}
