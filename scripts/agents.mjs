/**
 * `npm run test:agents`: coding agents complete a turn with tools against `paceline serve`. They are
 * installed with npm at pinned versions into the cache folder, without install scripts, and are never
 * part of the repository. One that can't be had here is left out with one line. Where the system can
 * do it, all runs in a network of its own that has nothing but loopback.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './lib/cache-folder.mjs';
import { npmCommand, run } from './lib/process.mjs';
import { setupOrExit } from './setup.mjs';

const target = `${process.platform}-${process.arch}`;
const triples = {
  'linux-x64': 'x86_64-unknown-linux-musl',
  'linux-arm64': 'aarch64-unknown-linux-musl',
  'darwin-x64': 'x86_64-apple-darwin',
  'darwin-arm64': 'aarch64-apple-darwin',
};

/** Package, version, and where in `node_modules` the program is: install scripts would only link it. */
const agents = {
  codex: [
    '@openai/codex',
    '0.171.0',
    `@openai/codex-${target}/vendor/${triples[target]}/bin/codex`,
  ],
  opencode: ['opencode-ai', '1.18.33', `opencode-${target}/bin/opencode`],
  'claude-code': [
    '@anthropic-ai/claude-code',
    '2.1.332',
    `@anthropic-ai/claude-code-${target}/claude`,
  ],
};

/** Installs an agent unless it is there; the path of its program. */
async function install(name, [pack, version, program]) {
  const folder = join(cacheFolder(), 'agents', `${name}-${version}`);
  const path = join(folder, 'node_modules', program);
  if (existsSync(path)) return path;
  const work = `${folder}.${process.pid}`;
  try {
    mkdirSync(work, { recursive: true });
    const npm = npmCommand();
    const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    const { code, output } = await run(
      npm.command,
      [...npm.args, 'install', '--prefix', work, ...options, `${pack}@${version}`],
      { capture: true, shell: npm.shell },
    );
    if (code !== 0) throw new Error(output.trim().split('\n').at(-1) || `npm ended with ${code}`);
    if (!existsSync(join(work, 'node_modules', program))) {
      throw new Error(`it has no program for ${target}`);
    }
    rmSync(folder, { recursive: true, force: true });
    renameSync(work, folder);
    return path;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

await setupOrExit();
const wanted = process.argv.slice(2);
const programs = {};
for (const [name, description] of Object.entries(agents)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  try {
    programs[name] = await install(name, description);
  } catch (error) {
    process.stderr.write(`agents: without ${name}: ${error.message}\n`);
  }
}
if (Object.keys(programs).length === 0) {
  process.stderr.write('agents: none could be installed; nothing is tested\n');
  process.exit(0);
}

const test = ['--import', 'tsx', '--test', '--test-reporter=spec', 'test/agents/agent-turns.ts'];
const env = { PACELINE_AGENTS: JSON.stringify(programs) };
const apart = ['-rn', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'];
const canBeApart =
  process.platform === 'linux' &&
  (await run('unshare', [...apart, 'true'], { capture: true }).catch(() => ({ code: 1 }))).code ===
    0;
if (!canBeApart)
  process.stderr.write('agents: no network of their own here; a proxy watches them\n');
const { code } = canBeApart
  ? await run('unshare', [...apart, process.execPath, ...test], { stdout: 'inherit', env })
  : await run(process.execPath, test, { stdout: 'inherit', env });
process.exitCode = code;
