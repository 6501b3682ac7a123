/** The folder of reference material beside the repository: real vocabularies and chat templates. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Path of a reference file; throws when it is missing, so that no comparison is skipped silently. */
export function sharedFile(...parts: string[]): string {
  const path = join(repository, '..', 'shared', ...parts);
  if (!existsSync(path)) throw new Error(`Reference file not found: ${path}`);
  return path;
}
