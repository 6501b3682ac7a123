/**
 * `npm start`: set-up, then a first text from the embedded model.
 * `npm start -- <arguments>`: set-up, then any command of the command line.
 */
import { join } from 'node:path';
import { root, run } from './lib/process.mjs';
import { setupOrExit } from './setup.mjs';

// Ctrl-C reaches the child too, which decides what it means; this process only waits for it.
process.on('SIGINT', () => {});
// Kernels for other processors are compiled when tests or a package need them.
await setupOrExit({ paths: 'own' });
const args = process.argv.slice(2);
const { code } = await run(
  process.execPath,
  [join(root, 'dist', 'src', 'cli', 'main.js'), ...(args.length === 0 ? ['start'] : args)],
  { stdout: 'inherit', env: { PACELINE_COMMAND: 'npm start --' } },
);
process.exitCode = code;
