/** Step 2 of the set-up: TypeScript to JavaScript and declarations in `dist/`. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { filesUnder, fingerprint, stampMatches, writeStamp } from './fingerprint.mjs';
import { root, run } from './process.mjs';
import { step } from './say.mjs';

const stamp = 'dist/.stamp';
const settings = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];

/** Removes what earlier builds made of sources that are gone. */
function removeOrphans(folder) {
  const path = join(root, 'dist', folder);
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const relative = `${folder}/${entry.name}`;
    if (entry.isDirectory()) {
      if (existsSync(join(root, relative))) removeOrphans(relative);
      else rmSync(join(root, 'dist', relative), { recursive: true });
    } else {
      const source = relative.replace(/(\.d)?\.(js|ts)$/, '.ts');
      if (!existsSync(join(root, source))) rmSync(join(root, 'dist', relative));
    }
  }
}

/** Compiles `src/` unless `dist/` was already made from exactly these sources. */
export async function buildTypeScript({ force = false } = {}) {
  const value = fingerprint([...settings, ...filesUnder('src')]);
  if (!force && stampMatches(stamp, value)) return false;
  await step('building TypeScript into dist/', async () => {
    const compiler = join('node_modules', 'typescript', 'bin', 'tsc');
    const { code } = await run(process.execPath, [compiler, '-p', 'tsconfig.build.json']);
    if (code !== 0) throw new Error(`tsc failed with exit code ${code}`);
    removeOrphans('src');
    writeStamp(stamp, value);
  });
  return true;
}
