/** Archives: what comes out of an installation when servers, disks and processes misbehave. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { planInstall, uninstallBackend } from '../../../src/backends/install/install.js';
import { backendStatus } from '../../../src/backends/install/status.js';
import { repository as sources } from '../../support/repository.js';
import { type ListedAsset, ReleaseDouble, type ReleaseFault } from './release-double.js';
import { contentOf, engineOf, install, newFolder, publish, strixHalo } from './support.js';

const machine = strixHalo;

/** A fault for the first requests of files, and none after them. */
function first(count: number, fault: ReleaseFault) {
  let left = count;
  return (path: string): ReleaseFault | undefined =>
    path.startsWith('/download/') && left-- > 0 ? fault : undefined;
}

function says(folder: string): string {
  return execFileSync(join(folder, 'bin', 'engine'), { encoding: 'utf8' }).trim();
}

describe('archives', { concurrency: 2 }, () => {
  test('parts are joined, unpacked, made executable, and a second time nothing happens', async () => {
    await using double = await ReleaseDouble.start();
    const data = newFolder();
    const archive = publish(double, 'v1+rocm', 300_000);
    const backend = engineOf('v1+rocm');
    assert.equal((await backendStatus(backend, { data, machine })).state, 'installable');
    const seen: string[] = [];
    const { folder, receipt, changed } = await install(double, data, backend, {
      onProgress: ({ task, done, total }) => {
        assert.ok(done <= total);
        seen.push(task);
      },
    });
    assert.ok(changed);
    assert.equal(says(folder), 'v1+rocm');
    assert.equal(statSync(join(folder, 'lib/site/bin/clang')).mode & 0o111, 0o111);
    for (const plain of ['bin/data', 'lib/site/module.py']) {
      assert.equal(statSync(join(folder, plain)).mode & 0o111, 0, plain);
    }
    assert.equal(double.sentBytes, archive.length);
    assert.ok(seen.some((task) => task.includes('part02-of-03')) && seen.includes('unpacking'));
    assert.deepEqual([receipt.release, receipt.chip], ['v1+rocm', 'gfx1151']);
    assert.deepEqual(contentOf(data), ['installed.json', receipt.folder].sort());
    const status = await backendStatus(backend, { data, machine });
    assert.equal(status.state, 'installed');
    assert.deepEqual(status.program, [join(folder, 'bin', 'engine'), '--first']);

    const again = await install(double, data, backend);
    assert.equal(again.changed, false);
    assert.equal(double.sentBytes, archive.length);
    assert.ok((await install(double, data, backend, { force: true })).changed);
  });

  for (const [what, fault] of [
    ['connections that break', { dropAfter: 20_000 }],
    ['a server that is down', { status: 503 }],
    ['too many requests', { status: 429, headers: { 'retry-after': '0' } }],
    ['a slow server', { slow: { bytes: 40_000, pauseMs: 5 } }],
  ] as const) {
    test(`${what}: goes on`, async () => {
      await using double = await ReleaseDouble.start();
      const data = newFolder();
      publish(double, 'v1', 300_000);
      double.fault = first(3, fault);
      const { folder } = await install(double, data, engineOf('v1'));
      assert.equal(says(folder), 'v1');
    });
  }

  for (const [what, fault] of [
    ['other bytes', { corrupt: true }],
    ['files of another length', { shorter: 10 }],
    ['files that are gone', { status: 404 }],
  ] as const) {
    test(`${what}: refused, and the old version stays`, async () => {
      await using double = await ReleaseDouble.start();
      const data = newFolder();
      publish(double, 'v1');
      publish(double, 'v2', 100_000);
      const before = await install(double, data, engineOf('v1'));
      double.fault = first(Number.POSITIVE_INFINITY, fault);
      await assert.rejects(install(double, data, engineOf('v2')), { code: 'network' });
      assert.equal(says(before.folder), 'v1');
      const status = await backendStatus(engineOf('v2'), { data, machine });
      assert.equal(status.state, 'outdated');
      assert.equal(status.next, 'paceline backends install vllm --variant rocm --chip gfx1151');
      assert.deepEqual(
        contentOf(data).filter((name) => name !== 'downloads'),
        ['installed.json', before.receipt.folder].sort(),
      );
      double.fault = () => undefined;
      assert.equal(says((await install(double, data, engineOf('v2'))).folder), 'v2');
      assert.equal(existsSync(before.folder), false);
    });
  }

  test('a listing that lacks something is refused before anything is downloaded', async () => {
    await using double = await ReleaseDouble.start();
    const data = newFolder();
    publish(double, 'v1');
    const [, second] = (await planInstall(engineOf('v1'), at(double, data))).assets;
    const other = createHash('sha256').update('other').digest('hex');
    const change = (more: Partial<ListedAsset>) => (assets: readonly ListedAsset[]) =>
      assets.map((asset) => (asset.name === second?.name ? { ...asset, ...more } : asset));
    for (const [distort, message] of [
      [change({ digest: null }), /names no SHA-256 of engine-x64\.part02-of-03/],
      [change({ digest: 'sha256:1234' }), /names no SHA-256/],
      [change({ size: -1 }), /how large/],
      [change({ browser_download_url: 'file:///etc/passwd' }), /address/],
      [change({ name: 'engine-x64.part02-of-04.tar.gz' }), /do not fit together/],
      [(assets: readonly ListedAsset[]) => assets.slice(1), /part 1 of 3 is missing/],
      [() => [], /has no engine-x64\.tar\.gz/],
      [() => 'nothing', /the listing is none/],
    ] as const) {
      double.distort = distort;
      await assert.rejects(install(double, data, engineOf('v1')), { code: 'network', message });
    }
    double.distort = (assets) => assets;
    const recorded = [{ name: second?.name ?? '', sha256: other }];
    await assert.rejects(install(double, data, engineOf('v1', recorded)), {
      code: 'check-failed',
      message: /is not what it was/,
    });
    await assert.rejects(install(double, data, engineOf('v9')), { message: /no such release/ });
    double.fault = () => ({ status: 403, headers: { 'x-ratelimit-remaining': '0' } });
    await assert.rejects(install(double, data, engineOf('v1')), { message: /no more questions/ });
    assert.equal(double.sentBytes, 0);
    assert.deepEqual(contentOf(data), []);
  });

  test('the plan of a dry run names files, sizes and commands, and writes nothing', async () => {
    await using double = await ReleaseDouble.start();
    const data = newFolder();
    const archive = publish(double, 'v1');
    const plan = await planInstall(engineOf('v1'), at(double, data));
    assert.equal(plan.downloadBytes, archive.length);
    assert.deepEqual(
      plan.assets.map(({ name }) => name),
      [1, 2, 3].map((part) => `engine-x64.part0${part}-of-03.tar.gz`),
    );
    assert.match(plan.commands[0]?.join(' ') ?? '', /tar -xzf - -C .*rocm-PROCESS-RANDOM$/);
    assert.equal(existsSync(join(data, 'backends')), false);
  });

  test('two at once: one installs, the other waits', async () => {
    await using double = await ReleaseDouble.start();
    const data = newFolder();
    const archive = publish(double, 'v1', 200_000);
    const notes: string[] = [];
    const options = { onNote: (text: string) => notes.push(text) };
    const results = await Promise.all(
      [0, 1, 2].map(() => install(double, data, engineOf('v1'), options)),
    );
    assert.deepEqual(results.map(({ changed }) => changed).sort(), [false, false, true]);
    assert.equal(new Set(results.map(({ folder }) => folder)).size, 1);
    assert.equal(double.sentBytes, archive.length);
    assert.match(notes.join('\n'), /waiting for process \d+/);
  });

  test('killed in the middle: the old version stays, and the download goes on', async () => {
    await using double = await ReleaseDouble.start();
    const data = newFolder();
    publish(double, 'v1');
    const { folder } = await install(double, data, engineOf('v1'));
    const archive = publish(double, 'v2', 3 * 2 ** 20);
    const before = double.sentBytes;
    double.fault = (path) =>
      path.includes('part02') ? { slow: { bytes: 64 * 1024, pauseMs: 50 } } : undefined;
    const program = join(sources, 'test', 'backends', 'install', 'install-program.ts');
    const child = spawn(process.execPath, ['--import', 'tsx', program, double.url, data, 'v2'], {
      stdio: ['ignore', 'inherit', 'inherit'],
      cwd: sources,
    });
    const ended = new Promise((resolve) => child.on('close', resolve));
    while (!double.seen.some(({ path }) => path.includes('/v2/') && path.includes('part02')))
      await delay(20);
    await delay(200);
    const during = await backendStatus(engineOf('v2'), { data, machine });
    assert.equal(during.state, 'installing');
    child.kill('SIGKILL');
    await ended;
    assert.equal(says(folder), 'v1');
    assert.equal((await backendStatus(engineOf('v1'), { data, machine })).state, 'installed');
    double.fault = () => undefined;
    const half = double.sentBytes;
    assert.ok(half > before);
    const after = await install(double, data, engineOf('v2'));
    assert.equal(says(after.folder), 'v2');
    // The first part was whole.
    assert.ok(double.sentBytes - half <= Math.ceil((archive.length * 2) / 3) + 3);
    assert.deepEqual(contentOf(data), ['installed.json', after.receipt.folder].sort());
  });

  test('what is left of a killed installation is said, and removed', async () => {
    await using double = await ReleaseDouble.start();
    const data = newFolder();
    publish(double, 'v1', 200_000);
    double.fault = (path) => (path.includes('part03') ? { status: 404 } : undefined);
    await assert.rejects(install(double, data, engineOf('v1')));
    assert.equal((await backendStatus(engineOf('v1'), { data, machine })).state, 'interrupted');
    assert.ok(await uninstallBackend(engineOf('v1'), { data }));
    assert.equal((await backendStatus(engineOf('v1'), { data, machine })).state, 'installable');
    assert.equal(await uninstallBackend(engineOf('v1'), { data }), false);
  });

  test('what runs is neither removed nor replaced under it', async () => {
    await using double = await ReleaseDouble.start();
    const data = newFolder();
    publish(double, 'v1');
    publish(double, 'v2');
    const { folder } = await install(double, data, engineOf('v1'));
    const child = spawn(join(folder, 'bin', 'engine'), ['sleep'], { detached: true });
    const ended = new Promise((resolve) => child.on('close', resolve));
    try {
      await assert.rejects(uninstallBackend(engineOf('v1'), { data }), { code: 'busy' });
      const next = await install(double, data, engineOf('v2'));
      assert.equal(says(next.folder), 'v2');
      assert.ok(existsSync(folder));
    } finally {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
      await ended;
    }
    await install(double, data, engineOf('v2'));
    assert.equal(existsSync(folder), false);
    assert.ok(await uninstallBackend(engineOf('v2'), { data }));
    assert.deepEqual(contentOf(data), []);
  });

  test('a receipt that is none, a program that is missing', async () => {
    await using double = await ReleaseDouble.start();
    const data = newFolder();
    publish(double, 'v1');
    const { folder } = await install(double, data, engineOf('v1'));
    const path = join(data, 'backends', 'vllm', 'installed.json');
    const receipt = readFileSync(path, 'utf8');
    for (const wrong of ['{', '[]', '{"version":1}', receipt.replace('"rocm-', '"../rocm-')]) {
      writeFileSync(path, wrong);
      const status = backendStatus(engineOf('v1'), { data, machine });
      await assert.rejects(status, { code: 'broken-file' });
    }
    writeFileSync(path, receipt);
    execFileSync('rm', [join(folder, 'bin', 'engine')]);
    const broken = await backendStatus(engineOf('v1'), { data, machine });
    assert.equal(broken.state, 'broken');
    assert.ok((await install(double, data, engineOf('v1'))).changed);
  });

  test('stopping ends an installation and keeps what was downloaded', async () => {
    await using double = await ReleaseDouble.start();
    const data = newFolder();
    publish(double, 'v1', 400_000);
    double.fault = (path) =>
      path.includes('part02') ? { slow: { bytes: 10_000, pauseMs: 20 } } : undefined;
    const stop = new AbortController();
    const pending = install(double, data, engineOf('v1'), {
      signal: stop.signal,
      onProgress: ({ task }) => {
        if (task.includes('part02')) stop.abort();
      },
    });
    await assert.rejects(pending, { code: 'aborted' });
    assert.deepEqual(contentOf(data), ['downloads']);
  });
});

function at(double: ReleaseDouble, data: string) {
  return { data, machine, endpoint: new URL(double.url) };
}
