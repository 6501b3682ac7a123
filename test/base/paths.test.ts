import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  cacheFolder,
  configFolder,
  dataFolder,
  defaultModelPath,
  findPackageRoot,
  packageRoot,
} from '../../src/base/paths.js';
import { repository } from '../support/repository.js';

const home = join('/', 'home', 'user');

test('folders follow XDG on Linux', () => {
  const context = { env: {}, platform: 'linux', home } as const;
  assert.equal(cacheFolder(context), join(home, '.cache', 'paceline'));
  assert.equal(dataFolder(context), join(home, '.local', 'share', 'paceline'));
  assert.equal(configFolder(context), join(home, '.config', 'paceline'));
});

test('XDG variables win on every platform, but not relative or empty ones', () => {
  for (const platform of ['linux', 'darwin', 'win32'] as const) {
    const env = { XDG_CACHE_HOME: '/c', XDG_DATA_HOME: '/d', XDG_CONFIG_HOME: '/e' };
    assert.equal(cacheFolder({ env, platform, home }), join('/c', 'paceline'));
    assert.equal(dataFolder({ env, platform, home }), join('/d', 'paceline'));
    assert.equal(configFolder({ env, platform, home }), join('/e', 'paceline'));
  }
  for (const value of ['', 'relative/cache']) {
    const context = { env: { XDG_CACHE_HOME: value }, platform: 'linux', home } as const;
    assert.equal(cacheFolder(context), join(home, '.cache', 'paceline'));
  }
});

test('macOS and Windows have their own places', () => {
  const mac = { env: {}, platform: 'darwin', home } as const;
  assert.equal(cacheFolder(mac), join(home, 'Library', 'Caches', 'paceline'));
  assert.equal(dataFolder(mac), join(home, 'Library', 'Application Support', 'paceline'));
  const windows = { env: { LOCALAPPDATA: join('/', 'local') }, platform: 'win32', home } as const;
  assert.equal(cacheFolder(windows), join('/', 'local', 'paceline', 'Cache'));
  const bare = { env: {}, platform: 'win32', home } as const;
  assert.equal(dataFolder(bare), join(home, 'AppData', 'Local', 'paceline', 'Data'));
});

test("the package's root is found from sources and from a build", async (context) => {
  assert.equal(packageRoot(), repository);
  assert.equal(defaultModelPath(), join(repository, 'models', 'default', 'paceline-default.gguf'));
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'paceline-paths-')));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const root = join(folder, 'node_modules', 'paceline');
  const built = join(root, 'dist', 'src', 'base');
  await mkdir(built, { recursive: true });
  await assert.rejects(async () => findPackageRoot(built), { code: 'internal' });
  await writeFile(join(folder, 'package.json'), '{"name":"somebody-else"}');
  await writeFile(join(root, 'dist', 'package.json'), 'not json');
  await writeFile(join(root, 'package.json'), '{"name":"paceline"}');
  assert.equal(findPackageRoot(built), root);
});
