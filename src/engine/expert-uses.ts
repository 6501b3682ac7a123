/**
 * Remembers across runs which experts of a model are used most, for the next run to read them first: a
 * small file beside the kept KV cache, replaced as a whole. It is a hint and nothing more: a file that is
 * missing, broken or of another model changes no text and is no error.
 */
import { createHash } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { writeFileAtomically } from '../base/files.js';
import { defaultStoreFolder } from '../cache/store/default-folder.js';
import type { ExpertCache } from '../ggml/native/expert-cache.js';

const version = 1;
/** A thousand layers of a thousand experts; a larger file is none of ours. */
const mostBytes = 16 << 20;

/** The file for a model of this identity, in the folder of the KV cache. */
export function usesFile(folder: string | undefined, identity: string): string {
  const name = createHash('sha256').update(identity).digest('hex').slice(0, 40);
  return join(resolve(folder ?? defaultStoreFolder()), 'experts', `${name}.json`);
}

/** Tells a cache what the file remembers; it begins to read the experts in question. */
export async function rememberUses(cache: ExpertCache, path: string): Promise<void> {
  const uses = await readUses(path);
  if (uses !== undefined) cache.remember(uses);
}

async function readUses(path: string): Promise<readonly Float64Array[] | undefined> {
  try {
    await using handle = await open(path, 'r');
    const { size } = await handle.stat();
    if (size > mostBytes) return undefined;
    const found: unknown = JSON.parse(await handle.readFile('utf8'));
    if (typeof found !== 'object' || found === null || !('version' in found)) return undefined;
    if (found.version !== version || !('uses' in found) || !Array.isArray(found.uses)) {
      return undefined;
    }
    const layers: unknown[] = found.uses;
    const valid = (value: unknown) =>
      typeof value === 'number' && value >= 0 && Number.isFinite(value);
    if (!layers.every((layer) => Array.isArray(layer) && layer.every(valid))) return undefined;
    return layers.map((layer) => Float64Array.from(layer as number[]));
  } catch {
    return undefined;
  }
}

/** Writes what the experts' uses are now, if any were used. @throws {PacelineError} `io`. */
export async function keepUses(cache: ExpertCache, path: string): Promise<void> {
  const uses = cache.uses.map((layer) => [...layer].map((value) => Number(value.toPrecision(4))));
  if (uses.every((layer) => layer.every((value) => value === 0))) return;
  await mkdir(dirname(path), { recursive: true });
  const text = JSON.stringify({ version, uses });
  await writeFileAtomically(path, (sink) => sink.write(new TextEncoder().encode(text)));
}
