/**
 * `npm run test:gpu`: tests on lavapipe, the software driver of Vulkan, which any Debian has
 * (`apt-get install mesa-vulkan-drivers libvulkan1`). ggml's Vulkan library is no dependency: it is
 * installed into `.cache/gpu`. Where one of them cannot be had, one line says so and nothing fails.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesUnder } from './lib/fingerprint.mjs';
import { run } from './lib/process.mjs';
import { setupOrExit } from './setup.mjs';

const folder = join('.cache', 'gpu');

/** Says why nothing is tested. */
function leaveOut(reason) {
  process.stderr.write(`gpu: left out: ${reason}\n`);
  process.exit(0);
}

const { optionalDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const version = optionalDependencies['@node-llama-cpp/linux-x64'];
const name = '@node-llama-cpp/linux-x64-vulkan';
if (process.platform !== 'linux' || process.arch !== 'x64')
  leaveOut('lavapipe is tested on linux-x64');
await setupOrExit();
if (!existsSync(join(folder, 'node_modules', name))) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private": true}\n');
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'];
  const words = ['install', '--prefix', folder, `${name}@${version}`, ...flags];
  const { code } = await run('npm', words);
  if (code !== 0) leaveOut(`npm could not install ${name}@${version}`);
}

Object.assign(process.env, {
  PACELINE_PACKAGES: folder,
  // ggml leaves devices that are processors alone unless they are named.
  GGML_VK_VISIBLE_DEVICES: '0',
  // With these, Mesa 22.3's lavapipe corrupts the heap.
  GGML_VK_DISABLE_INTEGER_DOT_PRODUCT: '1',
  GGML_VK_DISABLE_F16: '1',
});
const { cards, problems } = await import('../dist/src/ggml/devices.js').then((d) => d.findCards());
if (!cards.some((card) => card.name === 'Vulkan0')) {
  leaveOut(`no Vulkan device (${problems.join('; ') || 'is mesa-vulkan-drivers installed?'})`);
}
const files = filesUnder('test/gpu').filter((path) => path.endsWith('-gpu.ts'));
const runner = ['--import', 'tsx', '--test', '--test-concurrency=1', '--test-reporter=spec'];
const { code } = await run(process.execPath, [...runner, ...files], { stdout: 'inherit' });
process.exitCode = code;
