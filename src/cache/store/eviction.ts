/**
 * What goes when room is needed: what saves the least time for its bytes. Recent and often used
 * blocks stay, and those that took long to compute; a block never goes before those that follow it,
 * and never while it is used. Pure arithmetic over an index.
 */
import type { BlockIndex, Entry } from './index.js';

/** Time after which a block counts half. */
const halfLifeMs = 24 * 3_600_000;
/** Milliseconds that a block counts at least, where nothing is known of what it took. */
const leastCost = 1;

/** Milliseconds saved for each byte, as far as the past tells the future. */
export function worth(entry: Entry, now: number): number {
  const age = Math.max(0, now - entry.lastUse);
  const cost = Math.max(leastCost, entry.header.costMs);
  return ((cost * (1 + entry.hits)) / Math.max(1, entry.bytes)) * 2 ** (-age / halfLifeMs);
}

/**
 * Blocks to remove, in order, so that `bytes` are freed; fewer are freed when no more can be.
 * @param keep blocks that must stay, and with them those before.
 */
export function chooseVictims(
  index: BlockIndex,
  bytes: number,
  now: number,
  keep: (entry: Entry) => boolean = () => false,
): Entry[] {
  const victims: Entry[] = [];
  if (bytes <= 0) return victims;
  const gone = new Set<Entry>();
  const free = (entry: Entry): boolean => entry.pins === 0 && !entry.staged && !keep(entry);
  const isLeaf = (entry: Entry): boolean =>
    entry.kind !== 'rows' || [...index.children(entry.name)].every((child) => gone.has(child));
  const leaves = [...index.entries()]
    .filter((entry) => free(entry) && isLeaf(entry))
    .map((entry) => ({ entry, worth: worth(entry, now) }))
    .sort((a, b) => b.worth - a.worth);
  let freed = 0;
  while (freed < bytes) {
    const next = leaves.pop();
    if (next === undefined) break;
    victims.push(next.entry);
    gone.add(next.entry);
    freed += next.entry.bytes;
    const parent = index.parent(next.entry);
    if (parent === undefined || gone.has(parent) || !free(parent) || !isLeaf(parent)) continue;
    const value = worth(parent, now);
    let at = leaves.length;
    while (at > 0 && (leaves[at - 1]?.worth ?? 0) < value) at--;
    leaves.splice(at, 0, { entry: parent, worth: value });
  }
  return victims;
}
