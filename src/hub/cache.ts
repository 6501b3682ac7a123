/**
 * Hugging Face's cache on the disk, as its Python library keeps it, so that what one fetched the other
 * finds:
 *
 *     models--owner--repo/
 *       blobs/<etag>                       the bytes, named by their hash
 *       snapshots/<commit>/<path>          links to blobs; files where links are impossible
 *       refs/<branch or tag>               the commit that it was when last asked
 *
 * Partial downloads of ours lie in `blobs/` too, with a suffix of their own. Reads and changes the
 * disk, and knows nothing of the net. (`huggingface_hub`'s documentation, "Understand caching".)
 */
import {
  copyFile,
  mkdir,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { writeError, writeFileAtomically } from '../base/files.js';
import { pathProblem } from './names.js';
import { isCommit } from './repository.js';

/** A file of a snapshot. */
export interface CachedFile {
  /** Relative to the snapshot, with `/`. */
  readonly path: string;
  /** On the disk: the link or the file itself. */
  readonly pointer: string;
  /** Where the bytes are: the blob, or the pointer where that is a file. */
  readonly blob: string;
  readonly size: number;
  /** When it was last read or written, as far as the file system tells. */
  readonly lastUsed: Date;
}

export interface Snapshot {
  readonly commit: string;
  readonly folder: string;
  readonly files: readonly CachedFile[];
}

const folderPattern = /^models--([^/]+?)--([^/]+)$/;
/** Snapshots with more files than this are not models to run. */
const mostFiles = 20_000;

/** The repositories of the cache that hold models, as `owner/repo`. */
export async function cachedRepositories(cache: string): Promise<string[]> {
  return (await entriesOf(cache))
    .map((name) => folderPattern.exec(name))
    .flatMap((match) => (match === null ? [] : [`${match[1]}/${match[2]}`]))
    .sort();
}

/** One repository in the cache. */
export class CachedRepository {
  readonly repository: string;
  readonly folder: string;
  readonly #cache: string;

  constructor(cache: string, repository: string) {
    this.repository = repository;
    this.#cache = cache;
    this.folder = join(cache, `models--${repository.replace('/', '--')}`);
  }

  get blobs(): string {
    return join(this.folder, 'blobs');
  }

  blob(etag: string): string {
    return join(this.blobs, etag);
  }

  /** The lock of a blob; beside those of the Python library, which locks in another way. */
  lock(etag: string): string {
    const folder = `models--${this.repository.replace('/', '--')}`;
    return join(this.#cache, '.locks', folder, `${etag}.paceline.lock`);
  }

  /** Where a file of a commit is or would be. */
  pointer(commit: string, path: string): string {
    return join(this.folder, 'snapshots', commit, ...path.split('/'));
  }

  /** The commit that a branch or tag was when it was last asked for; a commit is itself. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    if (pathProblem(revision) !== undefined) return undefined;
    try {
      const text = await readFile(join(this.folder, 'refs', ...revision.split('/')), 'utf8');
      return isCommit(text.trim()) ? text.trim() : undefined;
    } catch {
      return undefined;
    }
  }

  /** Notes what a branch or tag is now. @throws {PacelineError} `io`. */
  async setCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit || (await this.commitOf(revision)) === commit) return;
    const path = join(this.folder, 'refs', ...revision.split('/'));
    await makeFolder(dirname(path));
    await writeFileAtomically(path, (sink) => sink.write(Buffer.from(commit)));
  }

  /** All snapshots with their GGUF files, those of refs first, then the newest first. */
  async snapshots(): Promise<Snapshot[]> {
    const folder = join(this.folder, 'snapshots');
    const commits = (await entriesOf(folder)).filter(isCommit);
    const current = await this.commitOf('main');
    const found = await Promise.all(
      commits.map(async (commit) => {
        const path = join(folder, commit);
        const changed = await stat(path).catch(() => undefined);
        const rank = commit === current ? Number.POSITIVE_INFINITY : (changed?.mtimeMs ?? 0);
        return { commit, folder: path, files: await ggufFiles(path), rank };
      }),
    );
    return found
      .sort((a, b) => b.rank - a.rank)
      .map(({ commit, folder: path, files }) => ({ commit, folder: path, files }));
  }

  /**
   * Lets a snapshot have a blob: by a relative link, or, where links are impossible or not wanted, as
   * the file itself.
   * @param fresh whether the blob was made just now and belongs to nobody else, so that it may move.
   * @throws {PacelineError} `io`.
   */
  async link(
    etag: string,
    commit: string,
    path: string,
    { fresh, symlinks }: { readonly fresh: boolean; readonly symlinks: boolean },
  ): Promise<string> {
    const blob = this.blob(etag);
    const pointer = this.pointer(commit, path);
    await makeFolder(dirname(pointer));
    try {
      await rm(pointer, { force: true });
      if (symlinks && (await trySymlink(relative(dirname(pointer), blob), pointer))) return pointer;
      if (fresh) {
        await rename(blob, pointer);
        return pointer;
      }
      const temporary = `${pointer}.${process.pid}.part`;
      await copyFile(blob, temporary);
      await rename(temporary, pointer);
      return pointer;
    } catch (error) {
      throw writeError(pointer, error);
    }
  }
}

/** Makes a folder and those above it. @throws {PacelineError} `io`. */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((error: unknown) => {
    throw writeError(path, error);
  });
}

/** False where the file system or the user's rights have no links (Windows, exFAT, some shares). */
async function trySymlink(target: string, path: string): Promise<boolean> {
  try {
    await symlink(target, path, 'file');
    return true;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return (await readlink(path).catch(() => '')) === target;
    if (
      ['EPERM', 'EACCES', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'UNKNOWN'].includes(code)
    ) {
      return false;
    }
    throw error;
  }
}

/** Names in a folder; none where there is no such folder. */
export async function entriesOf(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

/** GGUF files below a folder whose bytes are there. */
export async function ggufFiles(folder: string): Promise<CachedFile[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => [] as string[]);
  if (names.length > mostFiles) return [];
  const found = await Promise.all(
    names
      .filter((name) => /\.gguf$/i.test(name))
      .map(async (name): Promise<CachedFile[]> => {
        const pointer = join(folder, name);
        try {
          const blob = await realpath(pointer);
          const facts = await stat(blob);
          if (!facts.isFile()) return [];
          const lastUsed = new Date(Math.max(facts.atimeMs, facts.mtimeMs));
          return [{ path: name.split(sep).join('/'), pointer, blob, size: facts.size, lastUsed }];
        } catch {
          // A link whose blob was removed.
          return [];
        }
      }),
  );
  return found.flat().sort((a, b) => (a.path < b.path ? -1 : 1));
}
