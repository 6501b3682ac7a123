/**
 * Who may speak to the server: keys, the `Host` header (against DNS rebinding), and origins of web
 * pages. Pure decisions over headers; knows nothing of routes but those that anybody may ask.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { PacelineError } from '../../base/errors.js';

export interface GuardOptions {
  /** Any of these opens the server; none: no key is asked for. */
  readonly apiKeys: readonly string[];
  /** Names by which the server may be addressed; undefined: any. */
  readonly hosts: readonly string[] | undefined;
  /** Origins of pages that may use the server; `*` is any. */
  readonly origins: readonly string[];
}

export interface GuardedRequest {
  readonly method: string;
  readonly path: string;
  header(name: string): string | undefined;
}

/** Asked by load balancers and monitors that have no key, and the page's files, which hold nothing. */
function isOpen(path: string): boolean {
  return path === '/' || path === '/health' || path.startsWith('/page/');
}

export class Guard {
  readonly #options: GuardOptions;
  readonly #keys: readonly Buffer[];

  constructor(options: GuardOptions) {
    this.#options = options;
    this.#keys = options.apiKeys.map(fingerprint);
  }

  /** @throws {PacelineError} `forbidden` for a wrong host or origin, `unauthorized` without a key. */
  check(request: GuardedRequest): void {
    this.#checkHost(request.header('host'));
    this.#checkOrigin(request);
    if (this.#keys.length === 0 || isOpen(request.path) || request.method === 'OPTIONS') return;
    const bearer = /^Bearer +(.+)$/i.exec(request.header('authorization') ?? '')?.[1];
    const key = bearer ?? request.header('x-api-key');
    if (key === undefined || !this.#isKey(key.trim())) {
      throw new PacelineError(
        'unauthorized',
        key === undefined ? 'An API key is needed' : 'The API key is wrong',
        { hint: 'Send it as `Authorization: Bearer KEY` or as `x-api-key: KEY`.' },
      );
    }
  }

  /** The value of `Access-Control-Allow-Origin` for this origin, if it is allowed. */
  allowedOrigin(origin: string | undefined): string | undefined {
    if (origin === undefined) return undefined;
    const { origins } = this.#options;
    return origins.includes('*') || origins.includes(origin) ? origin : undefined;
  }

  /** Compares with every key, in a time that says nothing of any. */
  #isKey(given: string): boolean {
    const print = fingerprint(given);
    return this.#keys.reduce((found, key) => timingSafeEqual(key, print) || found, false);
  }

  #checkHost(host: string | undefined): void {
    const { hosts } = this.#options;
    if (hosts === undefined) return;
    const name = hostName(host ?? '');
    if (hosts.includes(name)) return;
    throw new PacelineError('forbidden', `The host ${JSON.stringify(name)} is not this server`, {
      hint: 'Use localhost, or start the server with --allow-host NAME.',
    });
  }

  /** Pages send their origin; without this check any page could make the machine work. */
  #checkOrigin(request: GuardedRequest): void {
    const origin = request.header('origin');
    if (origin === undefined || this.allowedOrigin(origin) !== undefined) return;
    const host = request.header('host');
    if (host !== undefined && (origin === `http://${host}` || origin === `https://${host}`)) return;
    throw new PacelineError('forbidden', `Pages of ${JSON.stringify(origin)} are not allowed`, {
      hint: 'Start the server with --cors ORIGIN to allow them.',
    });
  }
}

/** Keys of any length, compared in one length. */
function fingerprint(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

/** The name in a `Host` header or of an address, without port and brackets, in lower case. */
export function hostName(host: string): string {
  const name = host.trim().toLowerCase();
  const bracketed = /^\[([^\]]*)\](:\d+)?$/.exec(name)?.[1];
  if (bracketed !== undefined) return bracketed;
  return name.split(':').length > 2 ? name : name.replace(/:\d+$/, '');
}

/** Names of this machine that only it can reach. */
export const loopbackNames: readonly string[] = ['localhost', '127.0.0.1', '::1'];

/** Whether an address that a server binds to is reachable from this machine only. */
export function isLoopback(host: string): boolean {
  const name = hostName(host);
  return loopbackNames.includes(name) || /^127(\.\d{1,3}){3}$/.test(name);
}
