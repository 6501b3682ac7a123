/**
 * What killed processes leave behind: temporary files and folders that have the number of their
 * process in their name. Whoever makes such things calls this before; nothing that a living process
 * writes is touched.
 */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** A folder may be shared with other machines, whose processes look dead from here. */
const quietMs = 10_000;

/**
 * Removes entries of a folder whose process has ended.
 * @param processOf the number of the process that an entry's name has; undefined: it is none of these.
 */
export async function removeLeftovers(
  folder: string,
  processOf: (name: string) => number | undefined,
): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const owner = processOf(name);
    if (owner === undefined || isAlive(owner)) continue;
    const path = join(folder, name);
    try {
      const { mtimeMs } = await stat(path);
      if (Date.now() - mtimeMs > quietMs) await rm(path, { recursive: true, force: true });
    } catch {
      // It may be gone already, or be somebody else's.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
