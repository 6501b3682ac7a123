/** Finding, listing and removing what is on the disk; settings and locks. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { describeFile, listModels, unfinishedDownloads } from '../../src/hub/list.js';
import { locateModel, touchModel } from '../../src/hub/locate.js';
import { withLock } from '../../src/hub/lock.js';
import { otherModels } from '../../src/hub/others.js';
import { complement, merge } from '../../src/hub/partial.js';
import { planRemoval, remove, removeAlias } from '../../src/hub/remove.js';
import { changeSettings, readSettings } from '../../src/hub/settings.js';
import { miniGguf, noise, widgetFiles } from './support/hub-double.js';
import { allDrafters, noSettings, Workspace } from './support/workspace.js';

/** A machine with the repository of trials, all of it pulled, and an alias. */
async function filled(): Promise<Workspace> {
  const machine = await Workspace.open();
  process.env.XDG_DATA_HOME = machine.variables.XDG_DATA_HOME;
  machine.hub.commit('acme/widget-GGUF', {
    ...widgetFiles,
    'mtp-widget-Q8_0.gguf': miniGguf('dflash', 100, 4),
  });
  await machine.pull('hf:acme/widget-GGUF', { accept: allDrafters, alias: 'widget' });
  await machine.pull('hf:acme/widget-GGUF:Q8_0');
  return machine;
}

async function optionsOf(machine: Workspace) {
  const { settingsPath } = machine;
  const settings = await readSettings(settingsPath);
  const env = machine.variables;
  return { environment: machine.environment(), settings, settingsPath, env, home: machine.folder };
}

async function removeNow(machine: Workspace, name: string) {
  const options = await optionsOf(machine);
  const removal = await planRemoval(name, options);
  await remove(removal, options);
  return removal;
}

const listed = async (machine: Workspace): Promise<string[]> =>
  (await listModels(await optionsOf(machine))).map(({ name }) => name).sort();

test('names lead to files, with the drafters that are remembered', async () => {
  await using machine = await filled();
  const options = await optionsOf(machine);
  const locate = async (name: string) => {
    const found = await locateModel(name, options);
    return 'path' in found
      ? [found.path, ...found.drafters].map((path) => path.split('/').at(-1))
      : found.text;
  };
  const small = ['widget-Q4_K_M.gguf', 'mtp-widget-Q8_0.gguf'];
  assert.deepEqual(await locate('hf:acme/widget-GGUF'), small);
  assert.deepEqual(await locate('hf:acme/widget-GGUF:q4_k_m'), small);
  assert.deepEqual(await locate('widget'), small);
  const parts = 'large/widget-Q8_0-00002-of-00002.gguf';
  assert.deepEqual(await locate(`hf:acme/widget-GGUF:${parts}`), [
    'widget-Q8_0-00001-of-00002.gguf',
  ]);
  assert.equal(await locate('hf:acme/widget-GGUF:Q2_K'), 'hf:acme/widget-GGUF:Q2_K');
  assert.equal(await locate('hf:acme/other'), 'hf:acme/other');
  assert.equal(await locate('https://example.com/a/m.gguf'), 'https://example.com/a/m.gguf');
  await assert.rejects(locate('https://example.com/a/%2e%2e%2fm.gguf'), { code: 'usage' });
});

test('without a ref, as after an interrupted pull of other tools, what is here is found', async () => {
  await using machine = await filled();
  writeFileSync(join(machine.repository, 'refs', 'main'), 'f'.repeat(40));
  const found = await locateModel('hf:acme/widget-GGUF', await optionsOf(machine));
  assert.ok('path' in found);
  const one = await locateModel(`hf:acme/widget-GGUF@${'f'.repeat(40)}`, await optionsOf(machine));
  assert.ok(!('path' in one));
});

test('a part that is missing makes a split model missing', async () => {
  await using machine = await filled();
  const found = await locateModel('hf:acme/widget-GGUF:Q8_0', await optionsOf(machine));
  assert.ok('path' in found);
  const removal = found.path.replace('00001-of', '00002-of');
  rmSync(removal);
  assert.ok(!('path' in (await locateModel('hf:acme/widget-GGUF:Q8_0', await optionsOf(machine)))));
});

test('the list says what headers say, and the last use without changing it', async () => {
  await using machine = await filled();
  const found = await locateModel('widget', await optionsOf(machine));
  assert.ok('path' in found);
  await touchModel(found.path, new Date('2020-05-05T00:00:00Z'));
  utimesSync(found.path, new Date('2020-05-05T00:00:00Z'), new Date('2020-01-01T00:00:00Z'));
  for (let round = 0; round < 2; round++) {
    const models = await listModels(await optionsOf(machine));
    assert.deepEqual(
      models.map(({ name, bytes, parts, drafter }) => [name, bytes, parts, drafter]).sort(),
      [
        ['hf:acme/widget-GGUF:Q4_K_M', sizeOf('widget-Q4_K_M.gguf'), 1, undefined],
        [
          'hf:acme/widget-GGUF:Q8_0',
          sizeOf('large/widget-Q8_0-00001-of-00002.gguf') +
            sizeOf('large/widget-Q8_0-00002-of-00002.gguf'),
          ...[2, undefined],
        ],
        ['hf:acme/widget-GGUF:mtp-widget-Q8_0.gguf', miniGguf('dflash', 100).length, 1, 'mtp'],
      ],
    );
    const small = models.find(({ quant }) => quant === 'Q4_K_M');
    assert.equal(small?.lastUsed.toISOString(), '2020-05-05T00:00:00.000Z');
    assert.deepEqual(small?.aliases, ['widget']);
    assert.deepEqual(small?.drafters, ['hf:acme/widget-GGUF:mtp-widget-Q8_0.gguf']);
    assert.equal(small?.summary?.architecture, 'llama');
    assert.equal(small?.summary?.license, 'mit');
    assert.equal(models[1], small, 'the last used first, then drafters');
  }
});

function sizeOf(path: string): number {
  return widgetFiles[path]?.length ?? Number.NaN;
}

test('a broken file and a dangling link do not break the list', async () => {
  await using machine = await filled();
  const [snapshot = ''] = readdirSync(join(machine.repository, 'snapshots'));
  const folder = join(machine.repository, 'snapshots', snapshot);
  writeFileSync(join(folder, 'broken-Q5_0.gguf'), 'no gguf');
  symlinkSync('../../blobs/nothing', join(folder, 'gone-Q6_K.gguf'));
  mkdirSync(join(machine.repository, '..', 'models--odd'), { recursive: true });
  const models = await listModels(await optionsOf(machine));
  const broken = models.find(({ quant }) => quant === 'Q5_0');
  assert.match(broken?.problem ?? '', /GGUF/);
  assert.ok(!models.some(({ name }) => name.includes('gone')));
});

test('rm frees what nothing else uses, and tidies up behind itself', async () => {
  await using machine = await filled();
  const before = await listed(machine);
  assert.equal(before.length, 3);
  const removal = await removeNow(machine, 'widget');
  // The drafter belonged to this model only, the alias led to it.
  assert.deepEqual(removal.aliases, ['widget']);
  assert.equal(removal.keys.length, 2);
  assert.deepEqual(await listed(machine), ['hf:acme/widget-GGUF:Q8_0']);
  assert.deepEqual(await readSettings(machine.settingsPath), noSettings);
  assert.equal(readdirSync(join(machine.repository, 'blobs')).length, 2);
  const rest = await removeNow(machine, 'hf:acme/widget-GGUF');
  const parts = ['large/widget-Q8_0-00001-of-00002.gguf', 'large/widget-Q8_0-00002-of-00002.gguf'];
  assert.equal(rest.bytes, sizeOf(parts[0] ?? '') + sizeOf(parts[1] ?? ''));
  assert.ok(!existsSync(machine.repository));
  await assert.rejects(removeNow(machine, 'hf:acme/widget-GGUF'), { code: 'model-not-found' });
});

test('rm leaves what another model, snapshot or tool uses', async () => {
  await using machine = await filled();
  const drafter = 'hf:acme/widget-GGUF:mtp-widget-Q8_0.gguf';
  await machine.pull('hf:acme/widget-GGUF:Q8_0', { drafters: [drafter] });
  const [snapshot = ''] = readdirSync(join(machine.repository, 'snapshots'));
  const config = join(machine.repository, 'snapshots', snapshot, 'config.json');
  writeFileSync(config, '{}');
  // Another tool's name for the same bytes, in a snapshot of its own.
  const other = join(machine.repository, 'snapshots', 'a'.repeat(40), 'weights.bin');
  mkdirSync(dirname(other));
  const blob = machine.hub.repositories
    .get('acme/widget-GGUF')
    ?.files.get('widget-Q4_K_M.gguf')?.etag;
  symlinkSync(`../../blobs/${blob}`, other);
  const removal = await removeNow(machine, 'hf:acme/widget-GGUF:Q4_K_M');
  assert.deepEqual(removal.keys, ['hf:acme/widget-GGUF:widget-Q4_K_M.gguf']);
  assert.equal(removal.bytes, 0);
  assert.ok(statSync(other).isFile());
  assert.ok((await listed(machine)).includes(drafter));
  await removeNow(machine, 'hf:acme/widget-GGUF');
  assert.ok(existsSync(config) && existsSync(other));
  assert.deepEqual(await listed(machine), []);
});

test('an older version is listed by its commit, and goes alone', async () => {
  await using machine = await filled();
  const before = await readSettings(machine.settingsPath);
  const { commit } = machine.hub.repositories.get('acme/widget-GGUF') ?? { commit: '' };
  const next = miniGguf('llama', 700, 9);
  machine.hub.commit('acme/widget-GGUF', { 'widget-Q4_K_M.gguf': next });
  await machine.pull('hf:acme/widget-GGUF:Q4_K_M');
  const old = `hf:acme/widget-GGUF@${commit}:Q4_K_M`;
  assert.ok((await listed(machine)).includes(old));
  const { bytes, aliases } = await removeNow(machine, old);
  assert.deepEqual([bytes, aliases], [sizeOf('widget-Q4_K_M.gguf'), []]);
  assert.deepEqual(await readSettings(machine.settingsPath), before);
  const found = await locateModel('widget', await optionsOf(machine));
  assert.ok('path' in found && readFileSync(found.path).equals(next));
  // What was not pulled again is still found in the older version.
  assert.ok('path' in (await locateModel('hf:acme/widget-GGUF:Q8_0', await optionsOf(machine))));
  await assert.rejects(removeNow(machine, 'hf:acme/widget-GGUF@v7'), { code: 'model-not-found' });
});

test('rm also frees an interrupted download', async () => {
  await using machine = await Workspace.open();
  machine.hub.commit('acme/widget-GGUF', { 'widget-Q4_K_M.gguf': miniGguf('llama', 12 * 2 ** 20) });
  machine.hub.fault = ({ range }) =>
    range !== undefined && range[0] !== 0 ? { status: 404 } : undefined;
  const http = { pauseMs: 1, tries: 1 };
  await assert.rejects(machine.pull('hf:acme/widget-GGUF', { http }));
  const [unfinished] = await unfinishedDownloads(machine.environment().cache);
  assert.equal(unfinished?.name, 'hf:acme/widget-GGUF:widget-Q4_K_M.gguf');
  assert.ok((unfinished?.bytes ?? 0) >= 4 * 2 ** 20);
  const { bytes } = await removeNow(machine, 'hf:acme/widget-GGUF:Q4_K_M');
  assert.ok(bytes >= 4 * 2 ** 20);
  assert.ok(!existsSync(machine.repository));
});

test('rm refuses what is not ours', async () => {
  await using machine = await filled();
  const path = join(machine.folder, 'own.gguf');
  writeFileSync(path, miniGguf());
  const named = await machine.pull(path, { alias: 'own' });
  assert.deepEqual([named.model.path, named.model.downloadedBytes], [path, 0]);
  assert.ok((await listed(machine)).includes(path));
  for (const name of [path, 'own', 'default']) {
    await assert.rejects(removeNow(machine, name), { code: 'usage' }, name);
  }
  await assert.rejects(removeNow(machine, 'nothing'), { code: 'model-not-found' });
  await assert.rejects(removeNow(machine, 'hf:acme/widget-GGUF:Q3_K'), { code: 'model-not-found' });
  await removeAlias('own', machine.settingsPath);
  assert.ok(existsSync(path));
  await assert.rejects(removeAlias('own', machine.settingsPath), { code: 'model-not-found' });
});

test('a blob that lies in the store of several repositories is unlinked there, not deleted', async () => {
  await using machine = await filled();
  const blobs = join(machine.repository, 'blobs');
  const etag =
    machine.hub.repositories.get('acme/widget-GGUF')?.files.get('widget-Q4_K_M.gguf')?.etag ?? '';
  const store = join(machine.repository, '..', 'blobs', 'ab', 'ab01');
  mkdirSync(dirname(store), { recursive: true });
  renameSync(join(blobs, etag), store);
  symlinkSync('../../blobs/ab/ab01', join(blobs, etag));
  assert.ok('path' in (await locateModel('widget', await optionsOf(machine))));
  const { bytes } = await removeNow(machine, 'hf:acme/widget-GGUF:Q4_K_M');
  assert.equal(bytes, miniGguf('dflash', 100).length);
  assert.ok(existsSync(store) && !existsSync(join(blobs, etag)));
});

test('Ollama’s and LM Studio’s models are listed and left alone', async () => {
  await using machine = await filled();
  const digest = 'a'.repeat(64);
  const write = (path: string, data: string | Buffer): string => {
    const target = join(machine.folder, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, data);
    return target;
  };
  const blob = write(`ollama/blobs/sha256-${digest}`, miniGguf());
  const manifest = (of: unknown) => JSON.stringify({ layers: [{ mediaType: 'x' }, of] });
  const layer = { mediaType: 'application/vnd.ollama.image.model', digest: `sha256:${digest}` };
  const tags = 'ollama/manifests/registry.ollama.ai';
  write(`${tags}/library/llama3.2/1b`, manifest(layer));
  write(`${tags}/ada/mine/q4_k_m`, manifest(layer));
  write(
    `${tags}/library/evil/latest`,
    manifest({ ...layer, digest: 'sha256:../../../etc/passwd' }),
  );
  write(`${tags}/library/odd/latest`, 'no json');
  write(`${tags}/library/null/latest`, 'null');
  write(`${tags}/library/gone/latest`, manifest({ ...layer, digest: `sha256:${'b'.repeat(64)}` }));
  write('.lmstudio/models/lab/Widget-GGUF/Widget-Q6_K.gguf', miniGguf());
  const options = await optionsOf(machine);
  const found = await otherModels(options);
  assert.deepEqual(
    found.map(({ name, source, model }) => [source, name, model.quant]),
    [
      ['ollama', 'ada/mine:q4_k_m', 'Q4_K_M'],
      ['ollama', 'llama3.2:1b', undefined],
      ['lm-studio', 'lab/Widget-GGUF/Widget-Q6_K.gguf', 'Q6_K'],
    ],
  );
  assert.equal((await listModels({ ...options, all: true })).length, 6);
  assert.equal((await listModels(options)).length, 3);
  const shown = await describeFile(blob, options);
  assert.equal(shown.source, 'ollama');
  await assert.rejects(planRemoval(blob, options), { code: 'usage', hint: /ollama rm/ });
  await assert.rejects(planRemoval('llama3.2:1b', options), { code: 'usage', hint: /ollama rm/ });
});

test('settings keep what they do not know, and broken ones are not overwritten', async () => {
  await using machine = await Workspace.open();
  const path = join(machine.folder, 'models.json');
  assert.deepEqual(await readSettings(path), noSettings);
  writeFileSync(path, JSON.stringify({ later: 5, aliases: { a: 'hf:x/y' } }));
  await changeSettings((s) => ({ ...s, aliases: { ...s.aliases, b: 'hf:z/z' } }), path);
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), {
    later: 5,
    aliases: { a: 'hf:x/y', b: 'hf:z/z' },
    drafters: {},
  });
  for (const text of [
    '',
    '[]',
    '{"aliases": 5}',
    '{"aliases": {"a": 5}}',
    '{"drafters": {"a": "b"}}',
  ]) {
    writeFileSync(path, text);
    await assert.rejects(readSettings(path), { code: 'broken-file', hint: /aliases/ }, text);
    await assert.rejects(
      changeSettings((s) => ({ ...s }), path),
      { code: 'broken-file' },
    );
    assert.equal(readFileSync(path, 'utf8'), text);
  }
  writeFileSync(path, '{"aliases": {}, "drafters": {}}');
  const located = await locateModel('constructor', {
    environment: { cache: '' },
    settings: await readSettings(path),
  });
  assert.ok('path' in located && located.path.endsWith('constructor'));
});

test('many changes at once all arrive', async () => {
  await using machine = await Workspace.open();
  const path = join(machine.folder, 'models.json');
  const names = Array.from({ length: 8 }, (_, index) => `m${index}`);
  await Promise.all(
    names.map((name) =>
      changeSettings((s) => ({ ...s, aliases: { ...s.aliases, [name]: name } }), path),
    ),
  );
  assert.deepEqual(Object.keys((await readSettings(path)).aliases).sort(), names);
});

test('a lock waits for its holder, and outlives a dead one', async () => {
  await using machine = await Workspace.open();
  const path = join(machine.folder, 'locks', 'x.lock');
  const order: string[] = [];
  await Promise.all([
    withLock(path, async () => {
      order.push('a');
      await new Promise((resolve) => setTimeout(resolve, 100));
      order.push('b');
    }),
    new Promise((resolve) => setTimeout(resolve, 20)).then(() =>
      withLock(path, async () => order.push('c'), { onWait: (pid) => order.push(`waits ${pid}`) }),
    ),
  ]);
  assert.deepEqual(order, ['a', `waits ${process.pid}`, 'b', 'c']);
  // No process has such a number on Linux (at most 2^22), macOS or Windows.
  writeFileSync(path, JSON.stringify({ pid: 2 ** 30, host: hostname() }));
  assert.equal(await withLock(path, async () => 'taken'), 'taken');
  writeFileSync(path, JSON.stringify({ pid: 1, host: 'elsewhere' }));
  utimesSync(path, new Date(0), new Date(0));
  assert.equal(await withLock(path, async () => 'taken'), 'taken');
  writeFileSync(path, '');
  const signal = AbortSignal.timeout(300);
  await assert.rejects(
    withLock(path, async () => 'never', { signal }),
    { code: 'aborted' },
  );
});

test('intervals: whatever is noted in whatever order, gaps and notes are the whole', () => {
  const bytes = noise(4000, 3);
  for (let round = 0; round < 300; round++) {
    const size = 1 + (bytes[round] ?? 0);
    const covered = new Uint8Array(size);
    const noted = Array.from({ length: (bytes[round + 300] ?? 0) % 9 }, (_, index) => {
      const start = (bytes[round * 9 + index] ?? 0) % size;
      const end = Math.min(size, start + 1 + ((bytes[round * 9 + index + 1] ?? 0) % 60));
      covered.fill(1, start, end);
      return { start, end };
    });
    const gaps = complement(merge(noted), size);
    for (const { start, end } of gaps) {
      assert.ok(covered.subarray(start, end).every((mark) => mark === 0));
      covered.fill(1, start, end);
    }
    assert.ok(covered.every((mark) => mark === 1));
  }
});
