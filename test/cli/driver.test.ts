/** An installed library of cards that does not load: said once, and `auto` goes on with the CPU. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { packageVersion } from '../../src/ggml/library.js';
import { jsonOf, paceline } from '../support/cli.js';
import { temporaryFile, tinyModel } from '../support/tiny-model.js';

/** A folder with a Vulkan package of the pinned version, whose library is none. */
async function brokenPackage(): Promise<string> {
  const folder = temporaryFile('packages');
  const name = process.platform === 'win32' ? 'win-x64-vulkan' : 'linux-x64-vulkan';
  const library = process.platform === 'win32' ? 'ggml-vulkan.dll' : 'libggml-vulkan.so';
  const root = join(folder, 'node_modules', '@node-llama-cpp', name);
  const write = async (path: string, text: string) => {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  };
  const manifest = { name: `@node-llama-cpp/${name}`, version: packageVersion, main: 'index.js' };
  await write(join(folder, 'package.json'), '{"private": true}');
  await write(join(root, 'package.json'), JSON.stringify(manifest));
  await write(join(root, 'index.js'), '');
  await write(join(root, 'bins', name, library), 'no library');
  return folder;
}

// Only these have packages for cards.
if (process.arch === 'x64' && process.platform !== 'darwin') {
  describe('a driver that does not load', () => {
    it('is said once, and auto goes on with the CPU', async () => {
      const env = { PACELINE_PACKAGES: await brokenPackage() };
      const words = ['run', await tinyModel(), 'x', '-n', '8', '--temp', '0', '--threads', '1'];
      const plain = jsonOf(await paceline([...words, '--json']));
      const auto = await paceline([...words, '--json', '--device', 'auto'], { env });
      assert.equal(auto.code, 0, auto.stderr);
      assert.deepEqual(jsonOf(auto).tokens, plain.tokens);
      assert.equal(auto.stderr.match(/its driver does not load/g)?.length, 1, auto.stderr);
      assert.match(auto.stderr, /^warning: @node-llama-cpp\/\S+-vulkan: its driver does not load/m);
      assert.match(auto.stderr, /^device: CPU/m);
    });

    it('is the reason that is given to who names its card', async () => {
      const env = { PACELINE_PACKAGES: await brokenPackage() };
      const named = ['run', await tinyModel(), 'x', '--device', 'Vulkan0'];
      const { code, stderr } = await paceline(named, { env });
      assert.equal(code, 2);
      assert.match(stderr, /There is no device "Vulkan0"/);
      assert.match(stderr, /its driver does not load/);
      const devices = await paceline(['devices', '--json'], { env });
      assert.equal(devices.code, 0);
      assert.equal((jsonOf(devices).problems as string[]).length, 1);
    });
  });
}
