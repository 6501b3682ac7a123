/** Builds `dist/` and the native kernels from scratch; `npm pack` runs it. */
import { installDependencies } from './lib/dependencies.mjs';
import { buildNative } from './lib/native.mjs';
import { say } from './lib/say.mjs';
import { buildTypeScript } from './lib/typescript.mjs';

try {
  await installDependencies();
  await buildTypeScript({ force: process.argv.includes('--force') });
  await buildNative({ all: true, force: process.argv.includes('--force') });
} catch (error) {
  say(`failed: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
