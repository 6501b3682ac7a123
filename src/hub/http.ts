/**
 * Requests to the hub and to where it sends us. What holds for all of them: redirects are followed by
 * hand, at most ten, never from https to http, and the token goes to the hub's own origins only;
 * answers that are read whole have a limit; a server that says nothing for half a minute counts as
 * gone; failures that may pass are tried again with growing pauses, or when `Retry-After` says.
 * Proxies come from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), which is why this
 * stands on undici itself: the `fetch` of Node 20 has no such thing. Knows no formats of answers.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { EnvHttpProxyAgent, request } from 'undici';
import { PacelineError, throwIfAborted } from '../base/errors.js';
import { type Answer, headerOf } from './answer.js';
import { responseError, retryAfterMs } from './http-errors.js';

export interface HttpOptions {
  readonly endpoint: URL;
  readonly token?: string | undefined;
  /** Silence after which a connection counts as dead; default 30 s. */
  readonly silenceMs?: number;
  /** The first pause between tries, doubled each time; default 500 ms. */
  readonly pauseMs?: number;
  /** Tries without any progress before giving up; default 8, about a minute. */
  readonly tries?: number;
  /** Told in one sentence why the program waits. */
  readonly onNote?: ((text: string) => void) | undefined;
}

export interface RequestOptions {
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Redirects that leave the hub are not followed but returned: they carry the file's facts. */
  readonly stayOnHub?: boolean;
}

/** A failure that may pass; `error` is what it is called when it doesn't. */
export class TransientFailure extends Error {
  readonly error: PacelineError;
  readonly afterMs: number | undefined;

  constructor(error: PacelineError, afterMs?: number) {
    super(error.message);
    this.error = error;
    this.afterMs = afterMs;
  }
}

const mostRedirects = 10;
/** Who asks to wait longer than this is not waited for. */
const longestWaitMs = 10 * 60_000;
const longestPauseMs = 30_000;
const connectMs = 10_000;
/** Origins that are the hub besides `HF_ENDPOINT`: a mirror may send gated files there. */
const hubOrigins = ['https://huggingface.co', 'https://hf.co'];
const passing = new Set([408, 425, 429, 500, 502, 503, 504]);

export class HttpClient implements AsyncDisposable {
  readonly endpoint: URL;
  readonly tries: number;
  readonly #token: string | undefined;
  readonly #pauseMs: number;
  readonly #agent: EnvHttpProxyAgent;
  readonly #onNote: ((text: string) => void) | undefined;

  constructor(options: HttpOptions) {
    const silence = options.silenceMs ?? 30_000;
    this.endpoint = options.endpoint;
    this.tries = options.tries ?? 8;
    this.#token = options.token;
    this.#pauseMs = options.pauseMs ?? 500;
    this.#onNote = options.onNote;
    this.#agent = new EnvHttpProxyAgent({
      headersTimeout: silence,
      bodyTimeout: silence,
      connect: { timeout: Math.min(silence, connectMs) },
    });
  }

  /** An address below the hub's. */
  address(path: string): URL {
    return new URL(`${this.endpoint.href.replace(/\/+$/, '')}${path}`);
  }

  get hasToken(): boolean {
    return this.#token !== undefined;
  }

  /** Whether an address belongs to the hub, so that the token may go there. */
  isHub(url: URL): boolean {
    return url.origin === this.endpoint.origin || hubOrigins.includes(url.origin);
  }

  /**
   * Sends one request and follows redirects. Any status that is no redirect is returned. The caller
   * reads or dumps the body.
   * @throws {TransientFailure} when the connection fails.
   * @throws {PacelineError} `network` for redirects in circles or to where nobody should go, `aborted`.
   */
  async send(address: URL, options: RequestOptions = {}): Promise<Answer> {
    const { method = 'GET', headers = {}, signal, stayOnHub = false } = options;
    let url = address;
    for (let hop = 0; hop <= mostRedirects; hop++) {
      const own = this.#token !== undefined && this.isHub(url);
      const answer = await this.#once(url, method, signal, {
        'user-agent': 'paceline',
        'accept-encoding': 'identity',
        ...headers,
        ...(own ? { authorization: `Bearer ${this.#token}` } : {}),
      });
      const location = headerOf(answer.headers, 'location');
      const redirect = [301, 302, 303, 307, 308].includes(answer.status);
      if (!redirect || location === undefined) return answer;
      const next = redirectTarget(url, location);
      if (stayOnHub && !this.isHub(next)) return answer;
      await answer.body.dump();
      url = next;
    }
    throw new PacelineError(
      'network',
      `${address.host} redirects more than ${mostRedirects} times`,
      {
        hint: 'Check HF_ENDPOINT and the proxy; otherwise the server is set up wrongly.',
        details: { url: address.origin + address.pathname },
      },
    );
  }

  async #once(
    url: URL,
    method: 'GET' | 'HEAD',
    signal: AbortSignal | undefined,
    headers: Record<string, string>,
  ): Promise<Answer> {
    throwIfAborted(signal);
    try {
      const {
        statusCode,
        headers: received,
        body,
      } = await request(url, {
        method,
        headers,
        dispatcher: this.#agent,
        ...(signal === undefined ? {} : { signal }),
      });
      // A body that nobody reads any more must not end the process with its error.
      body.on('error', () => {});
      return { url, status: statusCode, headers: received, body };
    } catch (error) {
      throw connectionFailure(url, error, signal);
    }
  }

  /**
   * The text of an answer with status 200, with retries.
   * @param limit most bytes to read.
   * @throws {PacelineError} `network`, `unauthorized`, `model-not-found`, `aborted`.
   */
  async text(
    path: string,
    { limit, signal }: { readonly limit: number; readonly signal?: AbortSignal | undefined },
  ): Promise<string> {
    const work = async (): Promise<string> => {
      const answer = await this.send(this.address(path), { signal });
      if (answer.status !== 200) throw await this.failure(answer);
      return readBody(answer, limit, signal);
    };
    // Nothing is lost yet by giving up: whoever has no network should hear it soon.
    return this.retrying(signal, work, Math.min(3, this.tries));
  }

  /** The error for an answer that is not what was asked for; drops the body. */
  async failure(answer: Answer): Promise<PacelineError | TransientFailure> {
    await answer.body.dump().catch(() => {});
    const error = responseError(answer, { hasToken: this.hasToken, onHub: this.isHub(answer.url) });
    if (!passing.has(answer.status)) return error;
    return new TransientFailure(error, retryAfterMs(answer.headers, Date.now()));
  }

  /**
   * Runs `work` again after failures that may pass.
   * @throws {PacelineError} the last failure when there were too many.
   */
  async retrying<T>(
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
    tries: number = this.tries,
  ): Promise<T> {
    for (let failures = 1; ; failures++) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof TransientFailure)) throw error;
        await this.pause(error, failures, signal, tries);
      }
    }
  }

  /**
   * Waits before the next try.
   * @param failures how many came one after the other, this one included.
   * @throws {PacelineError} that of the failure, when that were too many or the wait too long.
   */
  async pause(
    failure: TransientFailure,
    failures: number,
    signal: AbortSignal | undefined,
    tries: number = this.tries,
  ): Promise<void> {
    const { error, afterMs } = failure;
    if (failures >= tries || (afterMs ?? 0) > longestWaitMs) throw error;
    const wait = afterMs ?? Math.min(longestPauseMs, this.#pauseMs * 2 ** (failures - 1));
    if (wait >= 2000) {
      this.#onNote?.(`${error.message}; trying again in ${Math.ceil(wait / 1000)} s`);
    }
    try {
      await delay(wait, undefined, signal === undefined ? {} : { signal });
    } catch {
      throwIfAborted(signal);
    }
  }

  /** Closes all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }
}

function redirectTarget(from: URL, location: string): URL {
  const refuse = (why: string): PacelineError =>
    new PacelineError('network', `${from.origin} redirects ${why}`, {
      hint: 'Check HF_ENDPOINT and the proxy; otherwise the server is set up wrongly.',
      details: { url: from.origin + from.pathname },
    });
  if (!URL.canParse(location, from.href)) throw refuse('to something that is no address');
  const next = new URL(location, from);
  if (!/^https?:$/.test(next.protocol)) throw refuse(`to ${next.protocol}, which is not http`);
  if (from.protocol === 'https:' && next.protocol === 'http:') {
    throw refuse(`from https to http (${next.host})`);
  }
  return next;
}

/** Reads a body whole. @throws {PacelineError} `network` when it is longer than `limit`. */
export async function readBody(
  { body, url }: Answer,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    for await (const piece of body) {
      pieces.push(piece as Buffer);
      length += (piece as Buffer).length;
      if (length > limit) break;
    }
  } catch (error) {
    throw connectionFailure(url, error, signal);
  }
  if (length <= limit) return Buffer.concat(pieces).toString('utf8');
  throw new PacelineError('network', `The answer of ${url.host} is larger than ${limit} bytes`, {
    hint: 'Check HF_ENDPOINT: this does not look like a hub.',
    details: { url: url.href, limit },
  });
}

/** Certificates and malformed answers do not mend themselves; everything else of a connection may. */
const lasting = /^(CERT_|ERR_TLS|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|HPE_|UND_ERR_HEADERS_OVERFLOW)/;

/** What a broken connection means. */
export function connectionFailure(
  url: URL,
  error: unknown,
  signal: AbortSignal | undefined,
): Error {
  try {
    throwIfAborted(signal);
  } catch (aborted) {
    return aborted as PacelineError;
  }
  if (PacelineError.is(error) || error instanceof TransientFailure) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  const failure = new PacelineError(
    'network',
    `The connection to ${url.host} failed: ${message || code}`,
    {
      hint: /^CERT_|^SELF_SIGNED|^UNABLE_TO|^DEPTH_ZERO/.test(code)
        ? 'The certificate is not trusted; NODE_EXTRA_CA_CERTS names the file of a company’s own one.'
        : 'Check the network, the proxy (HTTPS_PROXY, NO_PROXY) and HF_ENDPOINT, then try again.',
      details: { host: url.host, code },
      cause: error,
    },
  );
  return lasting.test(code) ? failure : new TransientFailure(failure);
}
