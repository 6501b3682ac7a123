/**
 * Builds `dist/`, the page in it, and the native kernels for all platforms at hand; `npm pack` runs it.
 * PACELINE_NATIVE=own leaves out the kernels that only other machines can run.
 */
import { installDependencies } from './lib/dependencies.mjs';
import { buildNative } from './lib/native.mjs';
import { buildPage } from './lib/page.mjs';
import { say } from './lib/say.mjs';
import { buildTypeScript } from './lib/typescript.mjs';

try {
  await installDependencies();
  await buildTypeScript({ force: process.argv.includes('--force') });
  await buildPage({ force: process.argv.includes('--force') });
  await buildNative({
    which: process.env.PACELINE_NATIVE === 'own' ? 'all' : 'everywhere',
    force: process.argv.includes('--force'),
  });
} catch (error) {
  say(`failed: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
