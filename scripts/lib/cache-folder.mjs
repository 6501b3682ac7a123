import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** The folder of caches, by the rule of `src/base/paths.ts`. */
export function cacheFolder() {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME)) return join(XDG_CACHE_HOME, 'paceline');
  if (process.platform === 'win32') {
    return join(LOCALAPPDATA || join(homedir(), 'AppData', 'Local'), 'paceline', 'Cache');
  }
  return join(
    homedir(),
    ...(process.platform === 'darwin' ? ['Library', 'Caches'] : ['.cache']),
    'paceline',
  );
}
