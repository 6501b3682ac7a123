/** The repository as the house checks see it: tracked and new files, without what git ignores. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Absolute path of the repository. */
export const repository = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Paths of all files of the repository, relative to it. */
export function repositoryFiles(): string[] {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard'];
  const output = execFileSync('git', args, { cwd: repository, encoding: 'utf8' });
  const paths = output.split('\n').filter((path) => path !== '');
  return [...new Set(paths)].filter((path) => existsSync(join(repository, path))).sort();
}

/** The text of a file of the repository. */
export function readRepositoryFile(path: string): string {
  return readFileSync(join(repository, path), 'utf8');
}
