/** Where the store is when nobody names a folder. */
import { join } from 'node:path';
import { cacheFolder } from '../../base/paths.js';

/** The store's folder in the user's cache folder. */
export function defaultStoreFolder(): string {
  return join(cacheFolder(), 'kv');
}
