/** Step of the set-up: the page's sources in `web/` to static files in `dist/web/`. */
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { filesUnder, fingerprint, stampMatches, writeStamp } from './fingerprint.mjs';
import { root } from './process.mjs';
import { step } from './say.mjs';

const stamp = 'dist/.web-stamp';
const folder = join(root, 'dist', 'web');
/** Sent as they are. */
const plain = ['icon.svg', 'manifest.webmanifest'];

/** Bundles the page unless `dist/web/` was already made from exactly these sources. */
export async function buildPage({ force = false } = {}) {
  const value = fingerprint(['package-lock.json', 'scripts/lib/page.mjs', ...filesUnder('web')]);
  if (!force && stampMatches(stamp, value)) return false;
  await step('building the page into dist/web/', async () => {
    // Known after the first step only, which installs it.
    const { build } = await import('esbuild');
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const { metafile } = await build({
      entryPoints: [join(root, 'web', 'main.tsx')],
      absWorkingDir: root,
      outdir: 'dist/web',
      entryNames: '[name]-[hash]',
      bundle: true,
      format: 'esm',
      target: 'es2022',
      minify: true,
      // Licences of what is bundled stand at the end of the script.
      legalComments: 'eof',
      jsx: 'automatic',
      jsxImportSource: 'preact',
      define: { 'process.env.NODE_ENV': '"production"' },
      metafile: true,
      logLevel: 'warning',
    });
    const built = Object.keys(metafile.outputs).map((path) => basename(path));
    const of = (extension) => built.find((name) => name.endsWith(extension));
    const html = readFileSync(join(root, 'web', 'index.html'), 'utf8')
      .replace('main.js', of('.js'))
      .replace('main.css', of('.css'));
    writeFileSync(join(folder, 'index.html'), html);
    for (const name of plain) copyFileSync(join(root, 'web', name), join(folder, name));
    writeStamp(stamp, value);
  });
  return true;
}
