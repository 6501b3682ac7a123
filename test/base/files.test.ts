import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { removeStaleParts, writeFileAtomically } from '../../src/base/files.js';

async function folderOf(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'paceline-files-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test('the file appears whole, and only when all was written', async (context) => {
  const folder = await folderOf(context);
  const path = join(folder, 'out.bin');
  await writeFile(path, 'old');
  const result = await writeFileAtomically(path, async (sink) => {
    await sink.write(Buffer.from('one '));
    assert.equal(sink.position, 4);
    assert.equal(await readFile(path, 'utf8'), 'old');
    await sink.write(Buffer.from('two'));
    return sink.position;
  });
  assert.equal(result, 7);
  assert.equal(await readFile(path, 'utf8'), 'one two');
  assert.deepEqual(await readdir(folder), ['out.bin']);
});

test('a failure or an abort leaves no trace', async (context) => {
  const folder = await folderOf(context);
  const path = join(folder, 'out.bin');
  const fail = writeFileAtomically(path, async (sink) => {
    await sink.write(Buffer.alloc(100));
    throw new Error('stop');
  });
  await assert.rejects(fail, /stop/);
  const controller = new AbortController();
  const { signal } = controller;
  const abort = writeFileAtomically(
    path,
    async (sink) => {
      await sink.write(Buffer.alloc(100));
      controller.abort();
    },
    { signal },
  );
  await assert.rejects(abort, { code: 'aborted' });
  await assert.rejects(
    writeFileAtomically(path, async () => {}, { signal }),
    { code: 'aborted' },
  );
  assert.deepEqual(await readdir(folder), []);
});

test('two writers of one path do not mix', async (context) => {
  const folder = await folderOf(context);
  const path = join(folder, 'out.bin');
  const write = (letter: string) =>
    writeFileAtomically(path, async (sink) => {
      for (let left = 50; left > 0; left--) await sink.write(Buffer.from(letter));
    });
  await Promise.all([write('a'), write('b')]);
  assert.match(await readFile(path, 'utf8'), /^(a{50}|b{50})$/);
  assert.deepEqual(await readdir(folder), ['out.bin']);
});

test('a folder that is not there is an io error that says so', async (context) => {
  const path = join(await folderOf(context), 'no', 'out.bin');
  const work = writeFileAtomically(path, async () => {});
  await assert.rejects(work, { code: 'io', hint: /folder does not exist/ });
});

test('what killed processes left of a target goes with the next writing, and nothing else', async (context) => {
  const folder = await folderOf(context);
  const { pid: dead } = spawnSync(process.execPath, ['--version']);
  const part = (name: string, pid: number) => `.${name}.${pid}-0123abcd.part`;
  const old = [part('out.bin', dead), part('other.bin', dead), part('out.bin', process.pid)];
  const names = [...old, '.out.bin.part', 'mine.part', part('new.bin', dead)];
  for (const name of names) {
    await writeFile(join(folder, name), 'x');
    const seconds = name === part('new.bin', dead) ? Date.now() / 1000 : 1;
    await utimes(join(folder, name), seconds, seconds);
  }
  await writeFileAtomically(join(folder, 'out.bin'), (sink) => sink.write(Buffer.from('y')));
  const kept = names.filter((name) => name !== part('out.bin', dead));
  assert.deepEqual((await readdir(folder)).sort(), ['out.bin', ...kept].sort());
  // Of all targets, but for what a living process writes and what was written just now.
  await removeStaleParts(folder);
  const rest = kept.filter((name) => name !== part('other.bin', dead));
  assert.deepEqual((await readdir(folder)).sort(), ['out.bin', ...rest].sort());
  await removeStaleParts(join(folder, 'nowhere'));
});
