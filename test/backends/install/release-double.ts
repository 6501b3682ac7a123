/**
 * A server that lists and hands out releases as GitHub does: `/repos/OWNER/NAME/releases/tags/TAG` with
 * names, sizes and digests of files, and the files, with ranges. Any answer can be made a fault.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** What a request gets in place of the right answer. */
export interface ReleaseFault {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Ends the connection after so many bytes. */
  readonly dropAfter?: number;
  /** Changes the first byte. */
  readonly corrupt?: boolean;
  /** Sends so many bytes less than were asked for, and says so. */
  readonly shorter?: number;
  /** Sends pieces of this many bytes with pauses. */
  readonly slow?: { readonly bytes: number; readonly pauseMs: number };
}

export interface ListedAsset {
  readonly name: string;
  readonly size: number;
  readonly digest: string | null;
  readonly browser_download_url: string;
}

export class ReleaseDouble implements AsyncDisposable {
  readonly #server: Server;
  /** By `owner/name/tag`, then by file. */
  readonly #releases = new Map<string, ReadonlyMap<string, Buffer>>();
  /** Paths and ranges that were asked for. */
  readonly seen: { readonly path: string; readonly bytes: number }[] = [];
  fault: (path: string) => ReleaseFault | undefined = () => undefined;
  /** Changes a listing. */
  distort: (assets: readonly ListedAsset[]) => unknown = (assets) => assets;

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  static async start(): Promise<ReleaseDouble> {
    const double = new ReleaseDouble();
    await new Promise<void>((resolve) => double.#server.listen(0, '127.0.0.1', resolve));
    return double;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  release(repository: string, tag: string, files: Readonly<Record<string, Buffer>>): void {
    this.#releases.set(`${repository}/${tag}`, new Map(Object.entries(files)));
  }

  /** Bytes of files that were sent. */
  get sentBytes(): number {
    return this.seen.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent(request.url ?? '/');
    const fault = this.fault(path) ?? {};
    if (fault.status !== undefined) {
      response.writeHead(fault.status, fault.headers ?? {}).end('{"message":"a fault"}');
      return;
    }
    const [, repository, tag] = /^\/repos\/([^/]+\/[^/]+)\/releases\/tags\/(.+)$/.exec(path) ?? [];
    if (repository !== undefined && tag !== undefined) {
      const files = this.#releases.get(`${repository}/${tag}`);
      if (files === undefined) response.writeHead(404).end('{"message":"Not Found"}');
      else
        response.end(
          JSON.stringify({ tag_name: tag, assets: this.distort(this.#list(tag, files)) }),
        );
      return;
    }
    const [, of, name] = /^\/download\/(.+)\/([^/]+)$/.exec(path) ?? [];
    const key = [...this.#releases.keys()].find((known) => known.endsWith(`/${of}`)) ?? '';
    const content = this.#releases.get(key)?.get(name ?? '');
    if (content === undefined) response.writeHead(404).end();
    else await this.#send(request, response, path, content, fault);
  }

  #list(tag: string, files: ReadonlyMap<string, Buffer>): ListedAsset[] {
    return [...files].map(([name, content]) => ({
      ...{ name, size: content.length },
      digest: `sha256:${createHash('sha256').update(content).digest('hex')}`,
      // Files have another host than the listing.
      browser_download_url: `${this.url.replace('127.0.0.1', 'localhost')}/download/${encodeURIComponent(tag)}/${encodeURIComponent(name)}`,
    }));
  }

  async #send(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    content: Buffer,
    { dropAfter, corrupt, shorter = 0, slow }: ReleaseFault,
  ): Promise<void> {
    const [, first = '0', last = String(content.length - 1)] =
      /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const [start, end] = [Number(first), Number(last) - shorter];
    const bytes = Buffer.from(content.subarray(start, end + 1));
    if (corrupt === true) bytes[0] = (bytes[0] ?? 0) ^ 1;
    this.seen.push({ path, bytes: Math.min(bytes.length, dropAfter ?? bytes.length) });
    response.writeHead(206, {
      'content-range': `bytes ${start}-${end}/${content.length - shorter}`,
      'content-length': String(bytes.length),
    });
    const step = slow?.bytes ?? Math.max(1, dropAfter ?? bytes.length);
    for (let at = 0; at < bytes.length; at += step) {
      if (response.destroyed) return;
      response.write(bytes.subarray(at, at + step));
      if (dropAfter !== undefined) {
        await delay(5);
        response.destroy();
        return;
      }
      if (slow !== undefined) await delay(slow.pauseMs);
    }
    response.end();
  }
}

/** A `.tar.gz` of files by their paths, without the right to be run, and `padding` bytes of noise. */
export function packed(files: Readonly<Record<string, string>>, padding = 0): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'paceline-packed-'));
  try {
    const root = join(folder, 'root');
    const all = { ...files, ...(padding > 0 ? { noise: noise(padding) } : {}) };
    for (const [path, content] of Object.entries(all)) {
      mkdirSync(join(root, dirname(path)), { recursive: true });
      writeFileSync(join(root, path), content);
      chmodSync(join(root, path), 0o644);
    }
    execFileSync('tar', ['-czf', join(folder, 'all.tar.gz'), '-C', root, '.']);
    return readFileSync(join(folder, 'all.tar.gz'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Bytes that do not get smaller by packing, always the same. */
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0, block = 0; at < length; at += 32, block++) {
    createHash('sha256').update(String(block)).digest().copy(bytes, at);
  }
  return bytes;
}

/** Cuts an archive as its maker does: `base.partNN-of-MM.tar.gz`. */
export function inParts(name: string, archive: Buffer, count: number): Record<string, Buffer> {
  const base = name.replace(/\.tar\.gz$/, '');
  const size = Math.ceil(archive.length / count);
  const two = (number: number): string => String(number).padStart(2, '0');
  return Object.fromEntries(
    Array.from({ length: count }, (_, at) => [
      `${base}.part${two(at + 1)}-of-${two(count)}.tar.gz`,
      archive.subarray(at * size, (at + 1) * size),
    ]),
  );
}
