/**
 * The page's files, as the build left them: read once, held compressed, and sent with headers that
 * let the page do nothing but speak to this server. Knows nothing of what the page does.
 */
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

/** Where the build puts the page: beside the compiled sources. */
const pageFolder = fileURLToPath(
  new URL(
    import.meta.url.endsWith('.ts') ? '../../../dist/web/' : '../../../web/',
    import.meta.url,
  ),
);

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
};

/** Scripts and styles of this server only, none inline, nothing embedded, nobody else spoken to. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const headers: Readonly<Record<string, string>> = {
  'content-security-policy': contentSecurityPolicy,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

export interface PageFile {
  readonly type: string;
  readonly plain: Uint8Array<ArrayBuffer>;
  readonly gzip: Uint8Array<ArrayBuffer>;
  readonly brotli: Uint8Array<ArrayBuffer>;
}

export class PageFiles {
  readonly #files: ReadonlyMap<string, PageFile>;

  /** Use `readPageFiles`. */
  constructor(files: ReadonlyMap<string, PageFile>) {
    this.#files = files;
  }

  get names(): readonly string[] {
    return [...this.#files.keys()];
  }

  get(name: string): PageFile | undefined {
    return this.#files.get(name);
  }

  /** The answer for a file, in what the client can unpack; undefined: there is none of this name. */
  answer(name: string, acceptEncoding = ''): Response | undefined {
    const file = this.#files.get(name);
    if (file === undefined) return undefined;
    const encoding = ['br', 'gzip'].find((one) => new RegExp(`\\b${one}\\b`).test(acceptEncoding));
    const body = encoding === 'br' ? file.brotli : encoding === 'gzip' ? file.gzip : file.plain;
    // Names of scripts and styles hold a hash of what is in them.
    const lasting = /-[A-Z0-9]{8}\.\w+$/.test(name);
    return new Response(body, {
      headers: {
        ...headers,
        'content-type': file.type,
        'cache-control': lasting ? 'public, max-age=31536000, immutable' : 'no-cache',
        vary: 'accept-encoding',
        ...(encoding === undefined ? {} : { 'content-encoding': encoding }),
      },
    });
  }
}

/** Reads what the build made; without a build there are no files. */
export async function readPageFiles(folder = pageFolder): Promise<PageFiles> {
  const names = await readdir(folder).catch(() => []);
  const files = new Map<string, PageFile>();
  for (const name of names) {
    const type = types[extname(name)];
    if (type === undefined) continue;
    const plain = Uint8Array.from(await readFile(join(folder, name)));
    const size = { [constants.BROTLI_PARAM_SIZE_HINT]: plain.length };
    files.set(name, {
      type,
      plain,
      gzip: Uint8Array.from(gzipSync(plain, { level: 9 })),
      brotli: Uint8Array.from(brotliCompressSync(plain, { params: size })),
    });
  }
  return new PageFiles(files);
}
