/**
 * Tests, and what they import beside `src/`, as JavaScript in `dist/`: a file then starts in a third of
 * the time that it takes when each of its modules is translated on the way, and it tests the very
 * files that the package ships.
 */
import { existsSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, extname, join, relative, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { filesUnder, fingerprint, stampMatches, writeStamp } from './fingerprint.mjs';
import { root } from './process.mjs';
import { step } from './say.mjs';

const stamp = 'dist/.tests-stamp';
const folders = ['test', 'bench', 'examples'];

/** Where the JavaScript of a test is. */
export function builtTest(path) {
  return join('dist', path.replace(/\.ts$/, '.js'));
}

/** A place in the repository with slashes, relative to it. */
function placeOf(path) {
  return relative(root, path).split(sep).join('/');
}

/**
 * Leaves imports as they are, but for two kinds: what lies in `web/` has no JavaScript of its own and is
 * put in, and files that are not compiled stay where they are.
 */
const imports = {
  name: 'imports',
  setup(build) {
    build.onResolve({ filter: /./ }, ({ path, kind, importer, resolveDir }) => {
      if (kind === 'entry-point') return undefined;
      if (!path.startsWith('.')) return { path, external: true };
      const target = resolve(resolveDir, path);
      if (placeOf(target).startsWith('web/')) return undefined;
      const source = target.replace(/\.js$/, '.ts');
      if (extname(source) === '.ts' && existsSync(source)) return { path, external: true };
      const from = join(root, 'dist', dirname(placeOf(importer)));
      return { path: relative(from, target).split(sep).join('/'), external: true };
    });
  },
};

/** Tells modules that they are where their sources are, so that they find what lies beside them. */
const places = {
  name: 'places',
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      if (!text.includes('import.meta.')) return { contents: text, loader: 'ts' };
      const url = JSON.stringify(pathToFileURL(path).href);
      const folder = JSON.stringify(dirname(path));
      // On the first line, so that all others keep their numbers.
      const words = `const moduleUrl__ = ${url}, moduleFolder__ = ${folder};`;
      return { contents: `${words}${text}`, loader: 'ts' };
    });
  },
};

/** Compiles tests unless `dist/` was already made from exactly these sources. */
export async function buildTests() {
  const sources = folders.flatMap((folder) =>
    filesUnder(folder).filter((path) => path.endsWith('.ts')),
  );
  const settings = ['package-lock.json', 'scripts/lib/tests.mjs'];
  const value = fingerprint([...settings, ...filesUnder('web'), ...sources]);
  if (stampMatches(stamp, value)) return false;
  await step('building tests into dist/', async () => {
    const { build } = await import('esbuild');
    for (const folder of folders) {
      rmSync(join(root, 'dist', folder), { recursive: true, force: true });
    }
    await build({
      entryPoints: sources,
      absWorkingDir: root,
      outbase: '.',
      outdir: 'dist',
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      sourcemap: 'linked',
      define: { 'import.meta.url': 'moduleUrl__', 'import.meta.dirname': 'moduleFolder__' },
      plugins: [imports, places],
      logLevel: 'warning',
    });
    writeStamp(stamp, value);
  });
  return true;
}
