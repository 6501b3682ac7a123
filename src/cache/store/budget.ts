/**
 * How large the store may grow, and what goes when it is too large: over all models' folders, so that
 * a model that nobody uses any more makes room for the one in use.
 */
import { readdir, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { chooseVictims, worth } from './eviction.js';
import { brokenFolder, type ModelFolder, modelsFolder, readFolders } from './folder.js';
import type { Entry } from './index.js';

/** The largest share of the free space, and the most bytes, that the store takes unasked. */
const usualShare = 0.1;
const usualMost = 20e9;

/** Bytes of all files of the store. */
export async function storedBytes(root: string): Promise<number> {
  let total = await folderBytes(brokenFolder(root));
  for (const key of await readdir(modelsFolder(root)).catch(() => [])) {
    total += await folderBytes(join(modelsFolder(root), key));
  }
  return total;
}

async function folderBytes(path: string): Promise<number> {
  let total = 0;
  for (const file of await readdir(path).catch(() => [])) {
    total += await stat(join(path, file)).then(
      ({ size }) => size,
      () => 0,
    );
  }
  return total;
}

/** What the store may take when nobody says otherwise; what it holds counts as free. */
export async function usualBudget(root: string): Promise<number> {
  for (let at = root; ; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return Math.min(usualMost, usualShare * (bavail * bsize + (await storedBytes(root))));
    } catch {
      if (dirname(at) === at) return usualMost;
    }
  }
}

export interface MakeRoomOptions {
  readonly root: string;
  /** Most bytes that may be left. */
  readonly most: number;
  /** A folder in use, whose index is up to date. */
  readonly own?: ModelFolder | undefined;
  readonly keep?: ((entry: Entry) => boolean) | undefined;
  readonly now?: number | undefined;
}

export interface Freed {
  readonly blocks: number;
  readonly bytes: number;
  /** Bytes that are left. */
  readonly left: number;
}

/** Removes what is worth least until no more than `most` bytes are left, or nothing more can go. */
export async function makeRoom(options: MakeRoomOptions): Promise<Freed> {
  const { root, most, own, keep, now = Date.now() } = options;
  let left = await storedBytes(root);
  if (left <= most) return { blocks: 0, bytes: 0, left };
  const before = left;
  await rm(brokenFolder(root), { recursive: true, force: true }).catch(() => {});
  left = await storedBytes(root);
  const others = await readFolders({ root, onBroken: () => {} });
  const folders = [...(own ? [own] : []), ...others.filter(({ path }) => path !== own?.path)];
  const queues = folders.map((folder) => ({
    folder,
    victims: chooseVictims(folder.index, left - most, now, folder === own ? keep : undefined),
  }));
  let blocks = 0;
  while (left > most) {
    let worst: (typeof queues)[number] | undefined;
    for (const queue of queues) {
      const [first] = queue.victims;
      const [least] = worst?.victims ?? [];
      if (first && (!least || worth(first, now) < worth(least, now))) worst = queue;
    }
    const victim = worst?.victims.shift();
    if (worst === undefined || victim === undefined) break;
    await worst.folder.remove(victim);
    left -= victim.bytes;
    blocks++;
  }
  return { blocks, bytes: before - left, left };
}
