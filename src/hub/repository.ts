/**
 * What the hub says of a repository and of one file. Its answers are read as a stranger's: sizes,
 * hashes and names are checked before anything is done with them.
 *
 * Hugging Face's own library (`@huggingface/hub` 2.17) was looked at for this and is not used: its
 * download has no resume, hash, lock, progress or abort; it files a snapshot under the last commit of
 * the file instead of the repository's and writes no ref, so that the Python library does not find the
 * file; it reads answers of any length, and sends the token wherever a `Link` header points. What is
 * left, one request for the list of files, needs no library.
 */
import { PacelineError } from '../base/errors.js';
import { headerOf } from './answer.js';
import type { HttpClient } from './http.js';
import { type HubName, pathProblem } from './names.js';

/** A file as the hub lists it. */
export interface RepositoryFile {
  /** Relative, with `/`; safe to be joined to a folder. */
  readonly path: string;
  readonly size: number;
  /** What the blob is called: SHA-256 of LFS files, else git's SHA-1, in hex. */
  readonly etag: string;
}

export interface RepositoryListing {
  /** 40 hex digits. */
  readonly commit: string;
  readonly files: readonly RepositoryFile[];
}

/** Where a file's bytes are at the moment. */
export interface FileLocation {
  readonly url: URL;
  readonly size: number;
  readonly etag: string;
}

/** Lists of the largest repositories take a few megabytes. */
const listingLimit = 32 * 2 ** 20;
const mostFiles = 200_000;
/** 1 PiB: what is larger is not a size. */
const mostBytes = 2 ** 50;

const commitPattern = /^[0-9a-f]{40}$/;
const etagPattern = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** Whether a text is a commit's full hash. */
export function isCommit(text: string): boolean {
  return commitPattern.test(text);
}

/** Whether a text can be a blob's name. */
function isEtag(text: string): boolean {
  return etagPattern.test(text);
}

function strange(client: HttpClient, what: string): PacelineError {
  return new PacelineError(
    'network',
    `The answer of ${client.endpoint.host} makes no sense: ${what}`,
    {
      hint: 'Check HF_ENDPOINT: this does not look like a hub.',
      details: { endpoint: client.endpoint.href },
    },
  );
}

/**
 * Commit and files of a revision (`GET /api/models/{repo}/revision/{rev}?blobs=true`).
 * @throws {PacelineError} `model-not-found`, `unauthorized`, `network`, `aborted`.
 */
export async function listRepository(
  client: HttpClient,
  { repository, revision }: Pick<HubName, 'repository' | 'revision'>,
  signal?: AbortSignal,
): Promise<RepositoryListing> {
  const path = `/api/models/${repository}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const text = await client.text(path, { limit: listingLimit, signal });
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    throw strange(client, 'not JSON');
  }
  const { sha, siblings } = asRecord(answer);
  if (typeof sha !== 'string' || !isCommit(sha)) throw strange(client, 'no commit');
  if (!Array.isArray(siblings) || siblings.length > mostFiles) throw strange(client, 'no files');
  const files = siblings.flatMap((item: unknown) => fileOf(client, asRecord(item)));
  return { commit: sha, files };
}

/** One entry of the list; files of git that are no models may lack a size, and are left out. */
function fileOf(client: HttpClient, item: Record<string, unknown>): RepositoryFile[] {
  const { rfilename: path, size: plainSize, blobId } = item;
  if (typeof path !== 'string') throw strange(client, 'a file without a name');
  const unsafe = pathProblem(path);
  if (unsafe !== undefined) {
    throw strange(client, `the file name ${JSON.stringify(path.slice(0, 100))} ${unsafe}`);
  }
  const lfs = item.lfs === undefined || item.lfs === null ? undefined : asRecord(item.lfs);
  const size = lfs?.size ?? plainSize;
  const etag = lfs?.sha256 ?? blobId;
  if (size === undefined && etag === undefined) return [];
  if (!isSize(size)) throw strange(client, `the size of ${path} is ${String(size).slice(0, 40)}`);
  if (typeof etag !== 'string' || !isEtag(etag)) throw strange(client, `${path} has no hash`);
  return [{ path, size, etag }];
}

/**
 * Where the bytes of a file are, from the answer to `HEAD /{repo}/resolve/{commit}/{path}`: its own
 * size and ETag, or those that it gives for the storage that it redirects to (`X-Linked-*`).
 * @throws {PacelineError} as `listRepository`.
 */
export async function locateFile(
  client: HttpClient,
  repository: string,
  commit: string,
  path: string,
  signal?: AbortSignal,
): Promise<FileLocation> {
  const encoded = path.split('/').map(encodeURIComponent).join('/');
  const address = client.address(`/${repository}/resolve/${commit}/${encoded}`);
  return client.retrying(signal, async () => {
    const answer = await client.send(address, { method: 'HEAD', signal, stayOnHub: true });
    const { headers, status, url } = answer;
    if (status >= 400) throw await client.failure(answer);
    await answer.body.dump();
    const location = headerOf(headers, 'location');
    const size = Number(headerOf(headers, 'x-linked-size') ?? headerOf(headers, 'content-length'));
    const etag = normalEtag(headerOf(headers, 'x-linked-etag') ?? headerOf(headers, 'etag'));
    if (!isSize(size)) throw strange(client, `no size of ${path}`);
    if (!isEtag(etag)) throw strange(client, `no ETag of ${path}`);
    return { url: location === undefined ? url : new URL(location, url), size, etag };
  });
}

/** An ETag without quotes and the mark of a weak one. */
export function normalEtag(header: string | undefined): string {
  return (header ?? '').replace(/^W\//, '').replace(/^"|"$/g, '');
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= mostBytes;
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
