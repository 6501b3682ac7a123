/**
 * From the option `cache` to a model's cache: where the store is, how large it may grow, and who hears
 * of what is wrong with it.
 */
import { resolve } from 'node:path';
import { defaultStoreFolder } from '../cache/store/default-folder.js';
import { PrefixStore } from '../cache/store/store.js';
import type { Runtime } from './runtime.js';
import { TextCache } from './text-cache.js';
import type { CacheOptions } from './types.js';

const usualBlock = 256;

export interface CachedModel {
  readonly name?: string | undefined;
  readonly path: string;
  readonly architecture: string;
  readonly kvType: string;
}

/** Opens the cache of a loaded model. A folder that cannot be used is a warning, not an error. */
export async function openTextCache(
  runtime: Runtime,
  { name, path, architecture, kvType }: CachedModel,
  options: CacheOptions,
): Promise<TextCache> {
  const { blockTokens = usualBlock, onWarning = warnProcess } = options;
  using probe = runtime.createState();
  const store = await PrefixStore.open({
    root: resolve(options.folder ?? defaultStoreFolder()),
    fingerprint: probe.fingerprint,
    info: { model: name ?? path, architecture, kvType, blockTokens },
    budget: options.budget,
    onWarning,
  });
  return new TextCache({
    store,
    live: () => runtime.texts,
    tokenizer: runtime.tokenizer,
  });
}

function warnProcess(text: string): void {
  process.emitWarning(text, 'PacelineWarning');
}
