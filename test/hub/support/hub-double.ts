/**
 * A server that answers as the hub does, on two ports as the hub has two hosts: the hub itself (list of
 * files, `resolve` with `X-Repo-Commit` and `X-Linked-*`, refusals with `X-Error-Code`) and the storage
 * that large files are redirected to. Every request can be answered with a fault instead. Written after
 * what `huggingface_hub` sends and expects, and checked against it (see ../fixtures).
 *
 * Runs alone too: `node --import tsx test/hub/support/hub-double.ts 8080` serves `widgetFiles` for trials.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

export interface SeenRequest {
  readonly host: 'hub' | 'storage';
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  /** First and last byte that were asked for. */
  readonly range: readonly [number, number] | undefined;
}

/** What a request gets in place of the right answer. */
export interface Fault {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Ends the connection after so many bytes of the body. */
  readonly dropAfter?: number;
  /** Sends pieces of this many bytes with pauses. */
  readonly slow?: { readonly bytes: number; readonly pauseMs: number };
  /** Says nothing for so long before it answers. */
  readonly silentMs?: number;
  /** The content with its first byte of the answer changed. */
  readonly corrupt?: boolean;
  /** Answers a range with the whole file. */
  readonly whole?: boolean;
}

interface StoredFile {
  readonly content: Buffer;
  readonly lfs: boolean;
  /** SHA-256 of LFS files, git's SHA-1 of others. */
  readonly etag: string;
}

export interface DoubleRepository {
  commit: string;
  readonly files: Map<string, StoredFile>;
  /** Only who has this token gets anything. */
  token?: string;
  gated?: boolean;
}

export class HubDouble implements AsyncDisposable {
  readonly repositories = new Map<string, DoubleRepository>();
  readonly seen: SeenRequest[] = [];
  /** Asked before every answer. */
  fault: (request: SeenRequest) => Fault | undefined = () => undefined;
  /** Changes the JSON of the list of files. */
  distort: (listing: Record<string, unknown>) => unknown = (listing) => listing;
  readonly #hub: Server;
  readonly #storage: Server;

  private constructor() {
    this.#hub = createServer((request, response) => this.#serve('hub', request, response));
    this.#storage = createServer((request, response) => this.#serve('storage', request, response));
  }

  static async start(port = 0): Promise<HubDouble> {
    const double = new HubDouble();
    for (const [server, at] of [
      [double.#hub, port],
      [double.#storage, 0],
    ] as const) {
      await new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve));
    }
    return double;
  }

  get url(): string {
    return addressOf(this.#hub);
  }

  get storageUrl(): string {
    return addressOf(this.#storage);
  }

  /** Adds files as a new commit; `.gguf` files are LFS files. */
  commit(repository: string, files: Readonly<Record<string, Buffer | string>>): DoubleRepository {
    const found = this.repositories.get(repository) ?? { commit: '', files: new Map() };
    this.repositories.set(repository, found);
    for (const [path, data] of Object.entries(files)) {
      const content = Buffer.from(data);
      const lfs = path.endsWith('.gguf');
      const etag = lfs
        ? createHash('sha256').update(content).digest('hex')
        : createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
      found.files.set(path, { content, lfs, etag });
    }
    const state = [...found.files].map(([path, { etag }]) => `${path} ${etag}`).join('\n');
    found.commit = createHash('sha1').update(`${repository}\n${state}`).digest('hex');
    return found;
  }

  /** Bytes of storage that were asked for. */
  get rangedBytes(): number {
    return this.seen.reduce((sum, { range }) => sum + (range ? range[1] - range[0] + 1 : 0), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  async #serve(
    host: 'hub' | 'storage',
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const path = request.url ?? '/';
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const seen: SeenRequest = {
      ...{ host, path, method: request.method ?? 'GET' },
      authorization: request.headers.authorization,
      range: first === undefined ? undefined : [Number(first), Number(last)],
    };
    this.seen.push(seen);
    const fault = this.fault(seen) ?? {};
    if (fault.silentMs !== undefined) await delay(fault.silentMs, undefined, { ref: false });
    if (fault.status !== undefined) {
      response.writeHead(fault.status, fault.headers ?? {}).end(fault.body ?? '');
    } else if (host === 'storage') {
      const [, etag] = /^\/blob\/([0-9a-f]+)/.exec(path) ?? [];
      const file = this.#files().find((stored) => stored.etag === etag);
      if (file === undefined) response.writeHead(404).end();
      else await this.#send(request, response, file, `storage-${etag}`, fault);
    } else {
      await this.#answer(seen, request, response, fault);
    }
  }

  #files(): StoredFile[] {
    return [...this.repositories.values()].flatMap(({ files }) => [...files.values()]);
  }

  async #answer(
    seen: SeenRequest,
    request: IncomingMessage,
    response: ServerResponse,
    fault: Fault,
  ): Promise<void> {
    const url = new URL(seen.path, this.url);
    const api = /^\/api\/models\/([^/]+\/[^/]+)(?:\/revision\/(.+))?$/.exec(url.pathname);
    const resolve = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname);
    const refuse = (status: number, code: string, message: string): void => {
      response.writeHead(status, { 'x-error-code': code, 'x-error-message': message }).end();
    };
    const repository = this.repositories.get(api?.[1] ?? resolve?.[1] ?? '');
    if (repository === undefined) {
      // As the hub does: who has no token may not learn which private repositories exist.
      if (seen.authorization === undefined) refuse(401, '', 'Invalid username or password.');
      else refuse(404, 'RepoNotFound', 'Repository not found');
      return;
    }
    const allowed =
      repository.token === undefined || seen.authorization === `Bearer ${repository.token}`;
    if (!allowed && (resolve !== null || repository.gated !== true)) {
      if (repository.gated !== true) refuse(401, 'RepoNotFound', 'Repository not found');
      else
        refuse(seen.authorization ? 403 : 401, 'GatedRepo', 'Access to this model is restricted.');
      return;
    }
    const revision = decodeURIComponent(api?.[2] ?? resolve?.[2] ?? 'main');
    if (revision !== 'main' && revision !== repository.commit) {
      refuse(404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
      return;
    }
    if (resolve === null) {
      const siblings = [...repository.files].map(([rfilename, { content, lfs, etag }]) => ({
        rfilename,
        size: content.length,
        blobId: lfs ? createHash('sha1').update(etag).digest('hex') : etag,
        ...(lfs ? { lfs: { sha256: etag, size: content.length, pointerSize: 130 } } : {}),
      }));
      const listing = this.distort({ id: api?.[1], sha: repository.commit, siblings });
      const text = typeof listing === 'string' ? listing : JSON.stringify(listing);
      response.writeHead(200, { 'content-type': 'application/json' }).end(text);
      return;
    }
    const file = repository.files.get(decodeURIComponent(resolve[3] ?? ''));
    if (file === undefined) return refuse(404, 'EntryNotFound', 'Entry not found');
    response.setHeader('x-repo-commit', repository.commit);
    if (!file.lfs) return this.#send(request, response, file, file.etag, fault);
    response.setHeader('x-linked-etag', `"${file.etag}"`);
    response.setHeader('x-linked-size', String(file.content.length));
    response.setHeader('etag', '"pointer"');
    const location = `${this.storageUrl}/blob/${file.etag}?signature=secret`;
    response.writeHead(302, { location, ...fault.headers }).end();
  }

  async #send(
    request: IncomingMessage,
    response: ServerResponse,
    { content }: StoredFile,
    etag: string,
    fault: Fault,
  ): Promise<void> {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const ranged = first !== undefined && fault.whole !== true;
    const start = ranged ? Number(first) : 0;
    const end = ranged && last ? Math.min(Number(last) + 1, content.length) : content.length;
    const headers: Record<string, string | number> = {
      etag: `"${etag}"`,
      'content-length': end - start,
      'accept-ranges': 'bytes',
      ...(ranged ? { 'content-range': `bytes ${start}-${end - 1}/${content.length}` } : {}),
      ...fault.headers,
    };
    response.writeHead(ranged ? 206 : 200, headers);
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    let body = content.subarray(start, end);
    if (fault.corrupt === true) {
      body = Buffer.from(body);
      body[0] = (body[0] ?? 0) ^ 1;
    }
    if (fault.dropAfter !== undefined) {
      response.write(body.subarray(0, fault.dropAfter), () => response.destroy());
      return;
    }
    const { bytes = body.length || 1, pauseMs = 0 } = fault.slow ?? {};
    for (let at = 0; at < body.length && !response.destroyed; at += bytes) {
      response.write(body.subarray(at, at + bytes));
      if (pauseMs > 0) await delay(pauseMs);
    }
    response.end();
  }
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Bytes that look like no others, the same for the same seed. */
export function noise(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = state & 255;
  }
  return bytes;
}

/** A GGUF file without tensors that names its architecture, with so many bytes of noise behind it. */
export function miniGguf(architecture = 'llama', noiseBytes = 0, seed = 1): Buffer {
  const text = (value: string): Buffer => {
    const head = Buffer.alloc(8);
    head.writeBigUInt64LE(BigInt(Buffer.byteLength(value)));
    return Buffer.concat([head, Buffer.from(value)]);
  };
  const head = Buffer.alloc(24);
  head.write('GGUF', 0, 'latin1');
  head.writeUInt32LE(3, 4);
  head.writeBigUInt64LE(0n, 8);
  head.writeBigUInt64LE(2n, 16);
  const string = Buffer.from([8, 0, 0, 0]);
  return Buffer.concat([
    ...[head, text('general.architecture'), string, text(architecture)],
    ...[text('general.license'), string, text('mit'), noise(noiseBytes, seed)],
  ]);
}

/** The repository of trials and of the recorded cache of the Python library. */
export const widgetFiles: Readonly<Record<string, Buffer | string>> = {
  'README.md': '# Widget\n',
  'widget-Q4_K_M.gguf': miniGguf('llama', 5000),
  'large/widget-Q8_0-00001-of-00002.gguf': miniGguf('llama', 3000, 2),
  'large/widget-Q8_0-00002-of-00002.gguf': miniGguf('llama', 2000, 3),
  'mtp-widget-Q8_0.gguf': miniGguf('llama', 100, 4),
};

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const double = await HubDouble.start(Number(process.argv[2] ?? 0));
  double.commit('acme/widget-GGUF', widgetFiles);
  process.stdout.write(`${double.url}\n`);
}
