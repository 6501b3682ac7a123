/** The cache on the disk against what the Python library made of the same repository. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { readRepositoryFile } from '../support/repository.js';
import { widgetFiles } from './support/hub-double.js';
import { allDrafters, Workspace } from './support/workspace.js';

const recorded = JSON.parse(readRepositoryFile('test/hub/fixtures/python-cache.json')) as {
  entries: Record<string, string>;
};

/** All files and links below a folder, as the fixture's script writes them. */
function entriesOf(root: string): Record<string, string> {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).sort();
  const entries: Record<string, string> = {};
  for (const name of names) {
    const path = join(root, name);
    const facts = lstatSync(path);
    if (facts.isDirectory()) continue;
    entries[relative(root, path)] = facts.isSymbolicLink()
      ? `-> ${readlinkSync(path)}`
      : createHash('sha256').update(readFileSync(path)).digest('hex');
  }
  return entries;
}

test('our cache is the Python library’s, to the last link', async () => {
  await using machine = await Workspace.open();
  machine.hub.commit('acme/widget-GGUF', widgetFiles);
  await machine.pull('hf:acme/widget-GGUF', { accept: allDrafters });
  await machine.pull('hf:acme/widget-GGUF:Q8_0');
  assert.deepEqual(entriesOf(machine.repository), recorded.entries);
});

test('without links the snapshot has the files themselves, once', async () => {
  await using machine = await Workspace.open();
  const { commit } = machine.hub.commit('acme/widget-GGUF', widgetFiles);
  const environment = machine.environment({ HF_HUB_DISABLE_SYMLINKS: '1' });
  const { model } = await machine.pull('hf:acme/widget-GGUF', { environment });
  assert.deepEqual(Object.keys(entriesOf(machine.repository)), [
    'refs/main',
    `snapshots/${commit}/widget-Q4_K_M.gguf`,
  ]);
  assert.ok(lstatSync(model.path).isFile());
  const again = await machine.pull('hf:acme/widget-GGUF', { environment });
  assert.equal(again.model.downloadedBytes, 0);
});

test('a new commit that leaves a file as it was downloads nothing', async () => {
  await using machine = await Workspace.open();
  machine.hub.commit('acme/widget-GGUF', widgetFiles);
  const before = await machine.pull('hf:acme/widget-GGUF');
  machine.hub.commit('acme/widget-GGUF', { 'README.md': '# New words\n' });
  const { model } = await machine.pull('hf:acme/widget-GGUF');
  assert.notEqual(model.commit, before.model.commit);
  assert.equal(model.downloadedBytes, 0);
  assert.deepEqual(readFileSync(model.path), widgetFiles['widget-Q4_K_M.gguf']);
});
