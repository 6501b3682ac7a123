/**
 * Makes a fresh clone ready: dependencies, JavaScript, the page, native kernels. Every step first looks
 * whether it is needed, so that a second call does nothing. Plain JavaScript without dependencies.
 * Usage: node scripts/setup.mjs
 */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { installDependencies } from './lib/dependencies.mjs';
import { buildNative } from './lib/native.mjs';
import { buildPage } from './lib/page.mjs';
import { say } from './lib/say.mjs';
import { buildTypeScript } from './lib/typescript.mjs';

const floor = [20, 19];

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > floor[0] || (major === floor[0] && minor >= floor[1])) return;
  throw new Error(
    `Node.js ${floor.join('.')} or later is needed, this is ${process.versions.node}`,
  );
}

/**
 * All steps in order; resolves to true when anything had to be done. `paths`: the kernels' paths of
 * this machine that are built, all or only its own.
 */
export async function setup({ paths = 'all' } = {}) {
  checkNode();
  const installed = await installDependencies();
  const compiled = await buildTypeScript();
  const page = await buildPage();
  const native = await buildNative({ which: paths });
  return installed || compiled || page || native;
}

/** Runs the set-up for a script; ends the process with 1 when a step fails. */
export async function setupOrExit(options) {
  try {
    return await setup(options);
  } catch (error) {
    say(`failed: ${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}

if (process.argv[1] !== undefined) {
  if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
    if (!(await setupOrExit())) say('everything is up to date');
  }
}
