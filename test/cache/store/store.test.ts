/** The store gives back what was put in, or nothing, whatever happens to its files. */
import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { PacelineError } from '../../../src/base/errors.js';
import { writeFileAtomically } from '../../../src/base/files.js';
import {
  checkStore,
  listPrefixes,
  removeAll,
  removePrefix,
  reportStore,
} from '../../../src/cache/store/admin.js';
import { storedBytes } from '../../../src/cache/store/budget.js';
import { blockTokens, load, newFolder, openStore, save, text } from './support.js';

/** The files of the one model in a store. */
async function filesOf(root: string): Promise<string[]> {
  const [key = ''] = await readdir(join(root, 'v1'));
  const files = await readdir(join(root, 'v1', key));
  return files
    .filter((file) => /\.(rows|state)$/.test(file))
    .map((file) => join(root, 'v1', key, file));
}

async function filled(...texts: readonly (readonly number[])[]): Promise<string> {
  const root = newFolder();
  const { store } = await openStore(root);
  for (const tokens of texts) save(store, tokens);
  await store.flush();
  return root;
}

describe('the store of blocks', () => {
  it('finds the longest prefix, in memory and in another process', async () => {
    const root = newFolder();
    const { store } = await openStore(root);
    const tokens = text(200);
    save(store, tokens);
    assert.equal(await load(store, tokens), 200, 'before it is written');
    await store.flush();
    const other = await openStore(root);
    for (const { store: each } of [{ store }, other]) {
      assert.equal(await load(each, tokens), 200);
      assert.equal(await load(each, [...tokens, 1, 2, 3]), 200);
      const edited = [...tokens.slice(0, 150), 2000, 2001];
      assert.equal(each.index.find(edited).length, 150);
      assert.equal(await load(each, text(50, 5)), 0);
    }
    assert.deepEqual(other.warnings, []);
  });

  it('stores a beginning that texts share once', async () => {
    const shared = text(6 * blockTokens);
    const one = await storedBytes(await filled(shared));
    const branches = Array.from({ length: 50 }, (_, at) => [...shared, 3000 + at]);
    const root = await filled(...branches);
    const files = await filesOf(root);
    assert.equal(files.length, 6 + 50);
    assert.ok(one > 0);
    // A longer text replaces the incomplete block that it begins with.
    const { store } = await openStore(root);
    save(store, [...shared, 3000, 3001, 3002]);
    await store.flush();
    assert.equal((await filesOf(root)).length, 6 + 50);
  });

  it('uses no file in which any bit is wrong, and says so once', async () => {
    const tokens = text(2 * blockTokens + 10);
    const root = await filled(tokens);
    const files = await filesOf(root);
    assert.equal(files.length, 3);
    let seen = 0;
    for (const path of files) {
      const good = await readFile(path);
      const { mode } = await stat(path);
      const places = [0, 8, 12, 20, 48, 60, 100, 300, 4096, 4500, good.length - 1];
      for (const place of places) {
        const bad = Buffer.from(good);
        bad[place] = (bad[place] as number) ^ (1 << (place % 8));
        await writeFile(path, bad);
        const { store, warnings } = await openStore(root);
        const length = await load(store, tokens);
        assert.ok(length <= tokens.length);
        const harmless = warnings.length === 0;
        // The header ends with zeros that mean nothing.
        if (harmless) assert.equal(length, tokens.length, `byte ${place}`);
        else {
          assert.equal(warnings.length, 1);
          assert.match(warnings[0] ?? '', /set aside/);
          assert.equal(await load(store, tokens), length, 'and not again');
          assert.equal(warnings.length, 1);
          seen++;
        }
        await writeFile(path, good, { mode });
        await rm(join(root, 'broken'), { recursive: true, force: true });
      }
    }
    assert.ok(seen >= 27, `${seen} flips were seen`);
    const { store, warnings } = await openStore(root);
    assert.equal(await load(store, tokens), tokens.length);
    assert.deepEqual(warnings, []);
  });

  it('uses no file that is too short, too long, of another name, version or kind', async () => {
    const tokens = text(2 * blockTokens);
    const root = await filled(tokens);
    const [path = '', other = ''] = await filesOf(root);
    const good = await readFile(path);
    const changes: (() => Promise<void>)[] = [
      () => writeFile(path, good.subarray(0, good.length - 1)),
      () => writeFile(path, good.subarray(0, 100)),
      () => writeFile(path, ''),
      () => writeFile(path, Buffer.concat([good, Buffer.alloc(1)])),
      () => writeFile(other, good),
      () => writeFile(path.replace('.rows', '.state'), good),
      () => writeFile(join(path, '..', 'notes.txt'), 'mine'),
      () => writeFile(path, Buffer.alloc(5000, 'x')),
      () => {
        const old = Buffer.from(good);
        old.writeUInt32LE(0, 8);
        return writeFile(path, old);
      },
    ];
    for (const change of changes) {
      await change();
      const { store, warnings } = await openStore(root);
      await load(store, tokens);
      assert.equal(warnings.length, 1, String(change));
      const { store: again, warnings: none } = await openStore(root);
      save(again, tokens);
      await again.flush();
      assert.equal(await load(again, tokens), tokens.length);
      assert.deepEqual(none, []);
      await rm(join(root, 'broken'), { recursive: true, force: true });
    }
  });

  it('keeps the budget, without what is in use, children before parents', async () => {
    const root = newFolder();
    const one = await storedBytes(await filled(text(blockTokens)));
    const budget = 10 * one;
    const { store, warnings } = await openStore(root, { budget });
    const first = text(3 * blockTokens);
    save(store, first);
    await store.flush();
    const pinned = store.index.find(first).blocks[1];
    assert.ok(pinned);
    pinned.pins++;
    for (let salt = 1; salt < 30; salt++) {
      save(store, text(2 * blockTokens, salt));
      await store.flush();
      assert.ok((await storedBytes(root)) <= budget);
    }
    assert.ok(store.statistics.evicted > 20);
    assert.ok(store.index.find(first).length >= 2 * blockTokens, 'what is in use, and before it');
    for (const entry of store.index.entries()) {
      if (entry.header.start > 0)
        assert.ok(store.index.parent(entry), 'no child without its parent');
    }
    // The newest is there, the oldest is not.
    assert.equal(await load(store, text(2 * blockTokens, 29)), 2 * blockTokens);
    assert.equal(await load(store, text(2 * blockTokens, 1)), 0);
    assert.deepEqual(warnings, []);
    // A smaller budget makes room among other models' blocks too.
    const other = await openStore(root, { fingerprint: 'another', budget: 5 * one });
    save(other.store, text(blockTokens));
    await other.store.flush();
    assert.ok((await storedBytes(root)) <= 5 * one);
    assert.equal(await load(other.store, text(blockTokens)), blockTokens);
    const none = await openStore(root, { fingerprint: 'a third', budget: 10 });
    save(none.store, text(blockTokens));
    await none.store.flush();
    assert.equal(none.store.statistics.blocksWritten, 0);
  });

  it('says what to do about a folder that cannot be used', async () => {
    const file = newFolder();
    await writeFile(file, 'a file');
    const { store, warnings } = await openStore(join(file, 'kv'));
    assert.equal(store.saves, false);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /Cannot write .*kv: .*\. Check the disk and the folder\./);
  });

  it('stops saving with one warning when writing fails, and goes on reading', async () => {
    const tokens = text(3 * blockTokens);
    for (const code of ['ENOSPC', 'EROFS', 'EIO']) {
      const root = await filled(tokens);
      let left = 1;
      const write: typeof writeFileAtomically = async (path, produce, options) => {
        if (left-- > 0) return writeFileAtomically(path, produce, options);
        throw new PacelineError('io', `Cannot write: ${code}`, { details: { code } });
      };
      const { store, warnings } = await openStore(root, { write });
      save(store, text(4 * blockTokens, 9));
      await store.flush();
      assert.equal(warnings.length, 1);
      assert.match(warnings[0] ?? '', /no longer saved/);
      assert.equal(store.saves, false);
      assert.equal(await load(store, text(4 * blockTokens, 9)), blockTokens);
      assert.equal(await load(store, tokens), tokens.length);
      save(store, text(blockTokens, 10));
      await store.flush();
      assert.equal(warnings.length, 1);
    }
  });

  it('leaves nothing behind of a write that fails in the middle', async () => {
    const root = newFolder();
    const write: typeof writeFileAtomically = (path, produce, options) =>
      writeFileAtomically(
        path,
        async (sink) => {
          await produce(sink);
          throw new PacelineError('io', 'short write');
        },
        options,
      );
    const { store } = await openStore(root, { write });
    save(store, text(100));
    await store.flush();
    assert.deepEqual(await filesOf(root), []);
    assert.equal(await load(store, text(100)), 0);
  });

  it('works without a folder that it may use', async () => {
    const blocked = join(newFolder(), 'file');
    await mkdir(join(blocked, '..'), { recursive: true });
    await writeFile(blocked, 'no folder');
    const { store, warnings } = await openStore(join(blocked, 'below'));
    assert.equal(save(store, text(100)), true);
    await store.flush();
    assert.equal(await load(store, text(100)), 0);
    assert.equal(warnings.length, 1);
    await chmod(blocked, 0o600);
  });

  it('bounds what waits to be written, and asks again', async () => {
    const root = newFolder();
    const { store } = await openStore(root, { mostStaged: 2500 });
    const tokens = text(10 * blockTokens);
    let rounds = 0;
    while (!save(store, tokens)) {
      rounds++;
      await new Promise<void>((resolve) => {
        store.onRoom = resolve;
      });
    }
    await store.flush();
    assert.ok(rounds >= 4, `${rounds} rounds`);
    assert.equal(await load((await openStore(root)).store, tokens), tokens.length);
  });

  it('is shared by stores that write and read at once', async () => {
    const root = newFolder();
    const stores = await Promise.all([openStore(root), openStore(root)]);
    const texts = Array.from({ length: 6 }, (_, at) => [...text(130), ...text(70, at)]);
    for (const tokens of texts) {
      for (const { store } of stores) save(store, tokens);
    }
    await Promise.all(stores.map(({ store }) => store.flush()));
    for (const { store, warnings } of stores) {
      await store.refresh();
      for (const tokens of texts) assert.equal(await load(store, tokens), 200);
      assert.deepEqual(warnings, []);
    }
    // One removes what the other knows.
    await removeAll(root);
    const [first, second] = stores;
    assert.equal(await load(first.store, texts[0] ?? []), 0);
    await first.store.refresh();
    save(first.store, texts[1] ?? []);
    await first.store.flush();
    await second.store.refresh();
    assert.equal(await load(second.store, texts[1] ?? []), 200);
    assert.deepEqual([...first.warnings, ...second.warnings], []);
  });

  it('forgets temporary files of processes that are no more', async () => {
    const root = await filled(text(10));
    const [file = ''] = await filesOf(root);
    const folder = join(file, '..');
    await writeFile(join(folder, '.x.rows.999999999-0a0a0a0a.part'), 'half');
    await writeFile(join(folder, `.y.rows.${process.pid}-0a0a0a0a.part`), 'half');
    const { warnings } = await openStore(root);
    const left = (await readdir(folder)).filter((name) => name.endsWith('.part'));
    assert.deepEqual(left, [`.y.rows.${process.pid}-0a0a0a0a.part`]);
    assert.deepEqual(warnings, []);
  });
});

describe('the store from outside', () => {
  it('tells sizes, uses and prefixes', async () => {
    const shared = text(2 * blockTokens);
    const root = await filled([...shared, 1, 2], [...shared, 3]);
    const { store } = await openStore(root);
    const { blocks } = store.index.find(shared);
    store.noteUse(blocks.at(-1), { prompt: 200, cached: 128, savedMs: 4000 });
    store.noteUse(undefined, { prompt: 100, cached: 0, savedMs: 0 });
    await store.flush();
    const [model] = (await reportStore(root)).models;
    assert.ok(model);
    assert.deepEqual(
      [model.blocks, model.prefixes, model.requests, model.hits, model.savedSeconds],
      [4, 2, 2, 1, 4],
    );
    const [tree] = await listPrefixes(root);
    const [top] = tree?.prefixes ?? [];
    assert.equal(top?.length, 128);
    assert.equal(top?.text, 'text from 0 on');
    assert.equal(top?.hits, 1);
    assert.deepEqual(top?.children.map(({ length }) => length).sort(), [129, 130]);
  });

  it('removes a prefix with what only it needs', async () => {
    const shared = text(2 * blockTokens);
    const root = await filled([...shared, 1, 2], [...shared, 3], text(300, 77));
    const [tree] = await listPrefixes(root);
    const top = tree?.prefixes.find(({ length }) => length === 128);
    const [leaf] = top?.children ?? [];
    assert.deepEqual((await removePrefix(root, leaf?.name ?? ''))?.blocks, 1);
    assert.equal((await removePrefix(root, top?.name.slice(0, 12) ?? ''))?.blocks, 3);
    const { store } = await openStore(root);
    assert.equal(store.index.find(shared).length, 0);
    assert.equal(store.index.find(text(300, 77)).length, 300);
    assert.equal(await removePrefix(root, 'zzz'), undefined);
    assert.equal(await removePrefix(root, ''), undefined);
  });

  it('reads everything, and finds what is wrong', async () => {
    const root = await filled(text(300));
    assert.deepEqual((await checkStore(root)).broken, []);
    const [path = ''] = await filesOf(root);
    const bytes = await readFile(path);
    bytes[5000] = (bytes[5000] as number) ^ 4;
    await writeFile(path, bytes);
    const { broken, blocks } = await checkStore(root);
    assert.deepEqual([broken.length, blocks], [1, 5]);
    assert.equal(broken[0]?.path, path);
    assert.deepEqual((await checkStore(root)).broken, []);
  });
});
