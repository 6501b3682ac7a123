/**
 * `npm run test:gpu`: tests on lavapipe, the software driver of Vulkan, which any Debian has
 * (`apt-get install mesa-vulkan-drivers libvulkan1`). ggml's Vulkan library is no dependency: it is
 * installed into `.cache/gpu`. Where one of them cannot be had, one line says so and nothing fails.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
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

/**
 * Has Vulkan's loader open lavapipe through `test/gpu/driver/lavapipe.c`, which says why. Without it,
 * anything that frees a buffer between two passes may end the process.
 */
async function wrapDriver() {
  const manifests = '/usr/share/vulkan/icd.d';
  const name =
    existsSync(manifests) && readdirSync(manifests).find((each) => /^lvp_icd/.test(each));
  if (!name) leaveOut('lavapipe is missing; apt-get install mesa-vulkan-drivers brings it');
  const manifest = JSON.parse(readFileSync(join(manifests, name), 'utf8'));
  const library = resolve(folder, 'lavapipe.so');
  const compiler = process.env.CXX || 'g++';
  const source = join('test', 'gpu', 'driver', 'lavapipe.c');
  const words = ['-x', 'c', '-O1', '-shared', '-fPIC', '-Wall', '-Wextra', '-o', library, source];
  const { code } = await run(compiler, [...words, '-ldl']).catch(() => ({ code: 127 }));
  if (code !== 0) leaveOut(`${compiler} could not compile ${source}`);
  const wrapped = resolve(folder, 'lavapipe.json');
  const icd = { ...manifest.ICD, library_path: library };
  writeFileSync(wrapped, `${JSON.stringify({ ...manifest, ICD: icd }, null, 2)}\n`);
  return {
    PACELINE_LAVAPIPE: manifest.ICD.library_path,
    // The loader's name for it since 1.3.207, and the one before.
    VK_DRIVER_FILES: wrapped,
    VK_ICD_FILENAMES: wrapped,
  };
}

Object.assign(process.env, await wrapDriver(), {
  PACELINE_PACKAGES: folder,
  // ggml leaves devices that are processors alone unless they are named.
  GGML_VK_VISIBLE_DEVICES: '0',
  // Their shaders ended in a corrupt heap before destroyed buffers stayed, and were not tried since.
  GGML_VK_DISABLE_INTEGER_DOT_PRODUCT: '1',
  GGML_VK_DISABLE_F16: '1',
});
const { cards, problems } = await import('../dist/src/ggml/devices.js').then((d) => d.findCards());
if (!cards.some((card) => card.name === 'Vulkan0')) {
  leaveOut(`no Vulkan device (${problems.join('; ') || 'is mesa-vulkan-drivers installed?'})`);
}
// `--bench`: the dry run of `npm run bench:gpu`, which takes the words behind it (`--minutes 5`).
const asked = process.argv.indexOf('--bench');
if (asked >= 0) {
  const more = process.argv.slice(asked + 1);
  const words = ['--import', 'tsx', 'bench/gpu.ts', '--tiny', '--device', 'Vulkan0', ...more];
  const { code } = await run(process.execPath, words, { stdout: 'inherit' });
  process.exit(code);
}
const words = process.argv.slice(2);
const files = filesUnder('test/gpu')
  .filter((path) => path.endsWith('-gpu.ts'))
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)));
const runner = ['--import', 'tsx', '--test', '--test-concurrency=1', '--test-reporter=spec'];
const { code } = await run(process.execPath, [...runner, ...files], { stdout: 'inherit' });
process.exitCode = code;
