/** A commit as the scan sees it: bounded, however large it is in the repository. */

export interface ChangedFile {
  readonly path: string;
  /** The path before, where git saw a rename or a copy. */
  readonly from?: string;
  readonly status: 'added' | 'deleted' | 'modified' | 'renamed' | 'binary';
  /** Lines, all of them, also those that were not kept. */
  readonly added: number;
  readonly removed: number;
  /** Lines of hunks as git writes them, `@@` lines too, as far as they were kept. */
  readonly lines: readonly string[];
}

export interface Commit {
  readonly hash: string;
  readonly parents: readonly string[];
  /** Seconds since 1970. */
  readonly time: number;
  readonly author: string;
  readonly message: string;
  readonly files: readonly ChangedFile[];
  /** Of all files, also of those that were not kept. */
  readonly added: number;
  readonly removed: number;
  readonly fileCount: number;
  /** Something of the message or diff was not kept, since it was too large. */
  readonly cut: boolean;
  /** Some bytes were not UTF-8, and read as Windows-1252. */
  readonly oddEncoding: boolean;
}
