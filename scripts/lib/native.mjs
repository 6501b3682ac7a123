/**
 * Step 3 of the set-up: the C++ kernels. They only make things faster, so that a machine without a
 * compiler gets a warning and goes on with ggml's own kernels.
 *
 * A first start compiles only what this processor runs; tests, packages and `npm run setup` all paths.
 */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { filesUnder, fingerprint, stampMatches, writeStamp } from './fingerprint.mjs';
import { root } from './process.mjs';
import { progress, say, step } from './say.mjs';

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

/** What to do where the fast kernels are missing. */
const compilerHint =
  'to end that, install a C++ compiler (Debian, Ubuntu: apt install g++; Fedora: dnf install ' +
  'gcc-c++; macOS: xcode-select --install), then: npm run setup';

/** The path that the library takes when it has no instructions of the processor to build on. */
function portableOnly() {
  try {
    const stamp = join(ownLibrary(), '..', 'sources.sha256');
    return readFileSync(stamp, 'utf8').trim().split(' ')[1] === 'scalar';
  } catch {
    return false;
  }
}

/**
 * Builds the kernels of this machine unless that was already tried with exactly these sources and
 * compilers.
 * @param {{ force?: boolean, which?: 'own' | 'all' | 'everywhere' }} options `own`: the path that this
 *   processor runs; `all`: all that its architecture has; `everywhere`: also what can be
 *   cross-compiled.
 */
export async function buildNative({ force = false, which = 'all' } = {}) {
  const script = join(root, 'native', 'build.mjs');
  if (!existsSync(script)) return false;
  const stamp = `.cache/native-${which}.stamp`;
  const sources = filesUnder('native', { ignore: outputs });
  // A path that is forced is built, too; and the best one is that of this processor.
  const asked = [process.env.PACELINE_CPU ?? '', cpus()[0]?.model ?? ''];
  const value = fingerprint(sources, [process.env.CXX ?? '', ...asked, ...compilersOnPath()]);
  const done = (built) => `${value} ${built ? 'built' : 'not-built'}`;
  const current =
    stampMatches(stamp, done(false)) ||
    (stampMatches(stamp, done(true)) && existsSync(ownLibrary()));
  if (!force && current) return false;
  const what = which === 'own' ? 'for this processor' : 'for all processors at hand';
  await step(`native kernels ${what}`, async () => {
    try {
      const { buildNative: build } = await import(pathToFileURL(script).href);
      await build({
        ownOnly: which !== 'everywhere',
        which: which === 'own' ? 'own' : 'all',
        log: (line) => say(line.trim().replaceAll('\n', '\n       ')),
        onProgress: progress('compiling'),
      });
    } catch (error) {
      say(error instanceof Error ? error.message : String(error));
    }
    const built = existsSync(ownLibrary());
    if (!built) {
      say("warning: no native kernels for this machine: ggml's own will compute, which is slower;");
      say(compilerHint);
    } else if (portableOnly()) {
      say(
        'note: this processor has none of the instructions that fast kernels need (AVX2 and FMA,',
      );
      say(
        'or the dot products of ARMv8.2): portable ones will compute, which are several times slower',
      );
    }
    writeStamp(stamp, done(built));
  });
  return true;
}
