/**
 * Content hashes decide whether a step has to be repeated: modification times lie after a checkout
 * or a copy, contents do not.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './process.mjs';

/** All files under a folder of the repository, as sorted paths relative to the repository. */
export function filesUnder(folder, { ignore = [] } = {}) {
  const found = [];
  const visit = (relative) => {
    const entries = readdirSync(join(root, relative), { withFileTypes: true });
    for (const entry of entries) {
      const path = `${relative}/${entry.name}`;
      if (ignore.includes(entry.name)) continue;
      if (entry.isDirectory()) visit(path);
      else if (entry.isFile()) found.push(path);
    }
  };
  if (existsSync(join(root, folder))) visit(folder);
  return found.sort();
}

/** SHA-256 over the names and contents of files (relative paths) and any extra words. */
export function fingerprint(paths, extra = []) {
  const hash = createHash('sha256');
  for (const word of extra) hash.update(`${word}\0`);
  for (const path of paths) {
    hash.update(`${path}\0`);
    hash.update(readFileSync(join(root, path)));
    hash.update('\0');
  }
  return hash.digest('hex');
}

/** Whether the stamp file (relative path) holds this fingerprint. */
export function stampMatches(stamp, value) {
  try {
    return readFileSync(join(root, stamp), 'utf8').trim() === value;
  } catch {
    return false;
  }
}

/** Remembers a fingerprint in a stamp file. */
export function writeStamp(stamp, value) {
  mkdirSync(dirname(join(root, stamp)), { recursive: true });
  writeFileSync(join(root, stamp), `${value}\n`);
}
