/**
 * The store from outside: what it holds, of all models, and how to remove, shrink and check it. Works
 * beside processes that use it.
 */
import { open, readdir, rm } from 'node:fs/promises';
import { throwIfAborted } from '../../base/errors.js';
import type { OnProgress } from '../../base/progress.js';
import { BadBlock, readHeader, readInto } from './block-file.js';
import { type Freed, makeRoom, storedBytes, usualBudget } from './budget.js';
import { Checksum } from './checksum.js';
import { brokenFolder, type ModelFolder, readFolders } from './folder.js';
import { type Entry, endOf } from './index.js';
import { readUses, removeUses } from './use-log.js';

export interface StoreReport {
  readonly folder: string;
  readonly bytes: number;
  readonly budget: number;
  /** Files that were set aside. */
  readonly broken: number;
  readonly models: readonly ModelReport[];
}

export interface ModelReport {
  readonly key: string;
  readonly model: string;
  readonly architecture: string;
  readonly kvType: string;
  readonly bytes: number;
  readonly blocks: number;
  readonly states: number;
  /** Texts that are no beginning of another one. */
  readonly prefixes: number;
  /** Tokens whose rows are kept. */
  readonly tokens: number;
  /** Texts that asked, and those for which there was something. */
  readonly requests: number;
  readonly hits: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** Seconds of prefill that were saved, about. */
  readonly savedSeconds: number;
}

/** A block and what follows it, blocks without branches between them as one. */
export interface PrefixNode {
  /** Name of the last of its blocks: what `removePrefix` takes. */
  readonly name: string;
  /** Beginning of its text. */
  readonly text: string;
  /** Tokens from the beginning of the text to its end. */
  readonly length: number;
  readonly bytes: number;
  readonly lastUse: Date;
  readonly hits: number;
  readonly children: readonly PrefixNode[];
}

const silent = (): void => {};

async function foldersOf(root: string, model?: string): Promise<ModelFolder[]> {
  const folders = await readFolders({ root, onBroken: silent });
  return model === undefined ? folders : folders.filter((folder) => isModel(folder, model));
}

/** Whether a word names the model of a folder: its name, its path, or the beginning of its key. */
function isModel({ info, index }: ModelFolder, word: string): boolean {
  return info.model === word || (word.length >= 6 && index.root.startsWith(word));
}

/** What there is, and what it was good for. */
export async function reportStore(root: string, budget?: number): Promise<StoreReport> {
  const models: ModelReport[] = [];
  for (const folder of await foldersOf(root)) models.push(await reportModel(folder));
  const broken = await readdir(brokenFolder(root)).catch(() => []);
  return {
    folder: root,
    bytes: await storedBytes(root),
    budget: budget ?? (await usualBudget(root)),
    broken: broken.length,
    models,
  };
}

async function reportModel({ index, info, path }: ModelFolder): Promise<ModelReport> {
  const uses = await readUses(path);
  const entries = [...index.entries()];
  const rows = entries.filter(({ kind }) => kind === 'rows');
  const sum = (value: (use: (typeof uses)[number]) => number): number =>
    uses.reduce((total, use) => total + value(use), 0);
  return {
    key: index.root,
    model: info.model,
    architecture: info.architecture,
    kvType: info.kvType,
    bytes: index.bytes,
    blocks: rows.length,
    states: entries.filter(({ kind }) => kind === 'state').length,
    prefixes: rows.filter(({ name }) => !hasRows(index.children(name))).length,
    tokens: rows.reduce((total, { header }) => total + header.tokens.length, 0),
    requests: uses.length,
    hits: uses.filter(({ cached }) => cached > 0).length,
    promptTokens: sum(({ prompt }) => prompt),
    cachedTokens: sum(({ cached }) => cached),
    savedSeconds: sum(({ savedMs }) => savedMs) / 1000,
  };
}

function hasRows(entries: Iterable<Entry>): boolean {
  return [...entries].some(({ kind }) => kind === 'rows');
}

/** The prefixes of each model as trees, the last used first. */
export async function listPrefixes(
  root: string,
  model?: string,
): Promise<{ readonly key: string; readonly model: string; readonly prefixes: PrefixNode[] }[]> {
  return (await foldersOf(root, model)).map(({ index, info }) => {
    const nodesOf = (parent: string): PrefixNode[] =>
      [...index.children(parent)]
        .filter(({ kind }) => kind === 'rows')
        .map(nodeOf)
        .sort((a, b) => b.lastUse.getTime() - a.lastUse.getTime());
    const nodeOf = (first: Entry): PrefixNode => {
      let last = first;
      let bytes = 0;
      let [time, hits] = [0, 0];
      for (;;) {
        const states = [...index.children(last.name)].filter(({ kind }) => kind === 'state');
        bytes += states.reduce((sum, state) => sum + state.bytes, last.bytes);
        bytes += index.get('window', last.name)?.bytes ?? 0;
        time = Math.max(time, last.lastUse);
        hits = Math.max(hits, last.hits);
        const next = [...index.children(last.name)].filter(({ kind }) => kind === 'rows');
        const [only] = next;
        if (only === undefined || next.length > 1) break;
        last = only;
      }
      const children = nodesOf(last.name);
      const newest = Math.max(time, ...children.map(({ lastUse }) => lastUse.getTime()));
      return {
        name: last.name,
        text: first.header.text,
        length: endOf(last),
        bytes,
        lastUse: new Date(newest),
        hits,
        children,
      };
    };
    return { key: index.root, model: info.model, prefixes: nodesOf(index.root) };
  });
}

export interface Removed {
  readonly blocks: number;
  readonly bytes: number;
}

/** Removes everything, with what was set aside; or all of one model. */
export async function removeAll(root: string, model?: string): Promise<Removed> {
  let [blocks, bytes] = [0, 0];
  for (const folder of await foldersOf(root, model)) {
    for (const entry of [...folder.index.entries()]) {
      await folder.remove(entry);
      blocks++;
      bytes += entry.bytes;
    }
    await removeUses(folder.path);
    await rm(folder.path, { recursive: true, force: true });
  }
  if (model === undefined) await rm(brokenFolder(root), { recursive: true, force: true });
  return { blocks, bytes };
}

/**
 * Removes a block by its name or the beginning of it, with all that follows, and the blocks before it
 * that nothing else needs. Undefined when there is none, or more than one.
 */
export async function removePrefix(root: string, name: string): Promise<Removed | undefined> {
  const found = (await foldersOf(root)).flatMap((folder) =>
    [...folder.index.entries()]
      .filter((entry) => entry.kind === 'rows' && entry.name.startsWith(name))
      .map((entry) => ({ folder, entry })),
  );
  const [only] = found;
  if (only === undefined || found.length > 1) return undefined;
  const { folder, entry } = only;
  let [blocks, bytes] = [0, 0];
  const remove = async (block: Entry): Promise<void> => {
    if (block.kind === 'rows') {
      for (const child of [...folder.index.children(block.name)]) await remove(child);
    }
    await folder.remove(block);
    blocks++;
    bytes += block.bytes;
  };
  let above = folder.index.parent(entry);
  await remove(entry);
  const window = folder.index.get('window', entry.name);
  if (window !== undefined) await remove(window);
  while (above !== undefined && !hasRows(folder.index.children(above.name))) {
    const next = folder.index.parent(above);
    await remove(above);
    above = next;
  }
  return { blocks, bytes };
}

/** Keeps the budget, and removes what was set aside and what interrupted writers left. */
export async function collectGarbage(root: string, budget?: number): Promise<Freed> {
  await rm(brokenFolder(root), { recursive: true, force: true });
  const most = budget ?? (await usualBudget(root));
  return makeRoom({ root, most });
}

export interface CheckOptions {
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface StoreCheck {
  readonly blocks: number;
  readonly bytes: number;
  /** Files that are not as they were written; they have been set aside. */
  readonly broken: readonly { readonly path: string; readonly why: string }[];
}

/** Reads everything, and sets aside what is not as it was written. @throws `aborted`. */
export async function checkStore(
  root: string,
  { onProgress, signal }: CheckOptions = {},
): Promise<StoreCheck> {
  const broken: { path: string; why: string }[] = [];
  const onBroken = (path: string, why: string): void => {
    broken.push({ path, why });
  };
  const folders = await readFolders({ root, onBroken });
  const total = folders.reduce((sum, { index }) => sum + index.bytes, 0);
  let [blocks, bytes] = [0, 0];
  for (const folder of folders) {
    for (const entry of [...folder.index.entries()]) {
      throwIfAborted(signal);
      onProgress?.({ task: 'check', done: bytes, total, unit: 'bytes' });
      const path = folder.pathOf(entry);
      try {
        await checkFile(path, entry);
      } catch (error) {
        if (error instanceof BadBlock) await folder.setAside(path, error.message);
        else if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
      blocks++;
      bytes += entry.bytes;
    }
  }
  return { blocks, bytes, broken };
}

async function checkFile(path: string, { kind, name }: Entry): Promise<void> {
  const handle = await open(path, 'r');
  try {
    const { header, payload } = await readHeader(handle, kind, name);
    let at = payload;
    for (const part of header.parts) {
      const bytes = new Uint8Array(part.bytes);
      await readInto(handle, [bytes], at);
      if (new Checksum().update(bytes).digest() !== part.sum) {
        throw new BadBlock('its contents are damaged');
      }
      at += part.bytes;
    }
  } finally {
    await handle.close();
  }
}
