/**
 * Requests to one upstream over HTTP: connections that are kept, limits on everything that comes back,
 * and failures as typed errors that say whether the request may be sent again. Knows no API, and never
 * tells its key to anybody but the upstream.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { PacelineError } from '../../base/errors.js';
import { isRecord } from '../../base/records.js';
import { fieldOf, textOf } from './values.js';

export interface UpstreamAddress {
  /** As in `http://host:8000`, with a path before the API's own where there is one. */
  readonly url: string;
  /** Sent as a bearer token. */
  readonly key?: string;
  /** Whether a connection may serve several requests; default true. */
  readonly keepConnections?: boolean;
}

export interface CallOptions {
  readonly signal: AbortSignal;
  /** Milliseconds until the head of the answer has to be there; default: as long as it takes. */
  readonly headTimeoutMs?: number;
}

export interface Answer {
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;
  readonly body: IncomingMessage;
}

/** What a whole answer may have. */
const mostBytes = 64 * 2 ** 20;
/** What of an error's body is read. */
const mostErrorBytes = 64 * 2 ** 10;

export class UpstreamClient {
  /** Without a slash at its end. */
  readonly url: string;
  readonly #base: URL;
  readonly #key: string | undefined;
  readonly #agent: HttpAgent | HttpsAgent;

  /** @throws {PacelineError} `usage` for what is no URL of HTTP, or has a password in it */
  constructor({ url, key, keepConnections = true }: UpstreamAddress) {
    this.#base = parseUpstreamUrl(url);
    this.url = upstreamId(url);
    this.#key = key;
    const options = { keepAlive: keepConnections, maxSockets: 4096, maxFreeSockets: 256 };
    this.#agent =
      this.#base.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options);
  }

  /** Ends connections that nobody uses. */
  close(): void {
    this.#agent.destroy();
  }

  /**
   * Sends a request and gives the answer, whatever its status, when its head is there.
   * @throws {PacelineError} `network` when there is none; `aborted`.
   */
  async call(
    method: 'GET' | 'POST',
    path: string,
    body: unknown,
    options: CallOptions,
  ): Promise<Answer> {
    try {
      return await this.#send(method, path, body, options, this.#agent);
    } catch (error) {
      // A kept connection that the other side has closed meanwhile says nothing about the other side, and
      // the next kept one may be no better.
      if (error instanceof StaleConnection) return this.#send(method, path, body, options, false);
      throw error;
    }
  }

  /**
   * The JSON of an answer.
   * @throws {PacelineError} as `call`; `network` for an answer that is no JSON or too large; what
   *   `failureOf` makes of its status.
   */
  async json(
    method: 'GET' | 'POST',
    path: string,
    body: unknown,
    options: CallOptions,
  ): Promise<unknown> {
    const answer = await this.call(method, path, body, options);
    if (answer.status >= 400) throw await this.failureOf(answer);
    const text = await this.#text(answer.body, mostBytes);
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw this.broken(`${path} did not answer with JSON`, cause);
    }
  }

  /** The text of an answer, at most so many bytes of it. @throws as `json` */
  async text(path: string, limit: number, options: CallOptions): Promise<string> {
    const answer = await this.call('GET', path, undefined, options);
    if (answer.status >= 400) throw await this.failureOf(answer);
    return this.#text(answer.body, limit);
  }

  /** What an answer of 400 or more says, as an error. */
  async failureOf(answer: Answer): Promise<PacelineError> {
    const body = await this.#text(answer.body, mostErrorBytes).catch(() => '');
    return upstreamFailure(this.url, answer.status, body, answer.retryAfterSeconds);
  }

  /** The upstream broke its own protocol. */
  broken(what: string, cause?: unknown): PacelineError {
    return new PacelineError('network', `The upstream ${this.url}: ${what}`, {
      details: { upstream: this.url, retryable: true },
      ...(cause === undefined ? {} : { cause }),
    });
  }

  async #text(body: IncomingMessage, limit: number): Promise<string> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > limit) {
          body.destroy();
          throw this.broken(`an answer has more than ${limit} bytes`);
        }
        chunks.push(chunk);
      }
    } catch (error) {
      throw PacelineError.is(error) ? error : this.broken('the connection broke', error);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  #send(
    method: 'GET' | 'POST',
    path: string,
    body: unknown,
    { signal, headTimeoutMs }: CallOptions,
    agent: HttpAgent | HttpsAgent | false,
  ): Promise<Answer> {
    if (signal.aborted) return Promise.reject(givenUp());
    const data = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const secure = this.#base.protocol === 'https:';
    return new Promise((resolve, reject) => {
      const request = (secure ? httpsRequest : httpRequest)(this.url + path, {
        method,
        agent,
        headers: {
          accept: 'application/json, text/event-stream',
          ...(data === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': data.length }),
          ...(this.#key === undefined ? {} : { authorization: `Bearer ${this.#key}` }),
        },
      });
      const onAbort = (): void => {
        request.destroy(givenUp());
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const settled = (): void => clearTimeout(timer);
      const timer =
        headTimeoutMs === undefined
          ? undefined
          : setTimeout(() => {
              request.destroy(this.broken(`no answer within ${headTimeoutMs} ms`));
            }, headTimeoutMs);
      request.on('response', (response) => {
        settled();
        const left = (): void => signal.removeEventListener('abort', onAbort);
        response.once('close', left);
        resolve({
          status: response.statusCode ?? 0,
          retryAfterSeconds: secondsOf(response.headers['retry-after']),
          body: response,
        });
      });
      request.on('error', (error: NodeJS.ErrnoException) => {
        settled();
        signal.removeEventListener('abort', onAbort);
        if (PacelineError.is(error)) reject(error);
        else if (request.reusedSocket && error.code === 'ECONNRESET') reject(new StaleConnection());
        else reject(this.broken(`no answer (${error.code ?? error.message})`, error));
      });
      request.end(data);
    });
  }
}

class StaleConnection extends Error {}

/** @throws {PacelineError} `usage` */
export function parseUpstreamUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new PacelineError('usage', 'An upstream must be a URL, as http://host:8000');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new PacelineError('usage', `An upstream must be http or https, not ${url.protocol}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new PacelineError('usage', `The URL of the upstream ${url.host} has a password in it`, {
      hint: 'URLs are logged: give keys by --upstream-key-file or PACELINE_UPSTREAM_KEY.',
    });
  }
  if (url.search !== '' || url.hash !== '') {
    throw new PacelineError('usage', `The URL of the upstream ${url.host} must end with its path`);
  }
  // Users copy the address that SDKs want.
  url.pathname = url.pathname.replace(/\/v1\/?$/, '').replace(/\/+$/, '');
  return url;
}

/**
 * What an upstream is known by in logs, metrics and files of keys: its URL as it is written for all
 * spellings of it, with a small host, without the usual port, `/v1` and a slash at its end.
 * @throws {PacelineError} `usage`
 */
export function upstreamId(url: string): string {
  return parseUpstreamUrl(url).href.replace(/\/+$/, '');
}

function givenUp(): PacelineError {
  return new PacelineError('aborted', 'The request was given up');
}

/** Seconds of a `retry-after`, bounded; dates are not read. */
function secondsOf(header: string | undefined): number | undefined {
  const seconds = Number(header);
  return header !== undefined && seconds >= 0 ? Math.min(Math.ceil(seconds), 3600) : undefined;
}

/** Whether a request that failed so, and of which nothing was told, may be sent again. */
export function isRetryable(error: unknown): error is PacelineError {
  return PacelineError.is(error) && error.details.retryable === true;
}

/** An answer that is no success as an error that a client of ours understands. */
export function upstreamFailure(
  url: string,
  status: number,
  body: string,
  retryAfter?: number,
): PacelineError {
  const { message, param } = faultOf(body);
  const said = message === '' ? `status ${status}` : `${status}: ${message}`;
  const overflow = overflowOf(body, message);
  if (status < 500 && overflow !== undefined) {
    const [promptTokens, contextLength] = overflow;
    return new PacelineError(
      'context-overflow',
      `The prompt has ${promptTokens} tokens, and the context holds ${contextLength}`,
      {
        hint: 'Shorten the prompt, or give the upstream a longer context.',
        details: { promptTokens, contextLength, upstream: url },
      },
    );
  }
  const text = `The upstream ${url} answered ${said}`;
  const details = { upstream: url, status, ...(param === undefined ? {} : { param }) };
  if (status === 401 || status === 403) {
    return new PacelineError('network', text, {
      hint: 'It wants another key: --upstream-key-file or PACELINE_UPSTREAM_KEY.',
      details,
    });
  }
  // It is well, and will never do this.
  const misses = status === 404 && isMissingRoute(message);
  if (misses || status === 501) {
    return new PacelineError('platform', text, {
      ...(misses ? { hint: 'It does not have this route.' } : {}),
      details: { param: 'model', ...details },
    });
  }
  if (status === 404) {
    return new PacelineError('network', text, {
      hint: 'It does not have the model.',
      details: { ...details, retryable: true },
    });
  }
  if (status === 429 || status === 503) {
    const seconds = retryAfter === undefined ? {} : { retryAfter };
    return new PacelineError(status === 429 ? 'busy' : 'unavailable', text, {
      details: { ...details, ...seconds, retryable: true },
    });
  }
  if (status === 413) return new PacelineError('too-large', text, { details });
  if (status < 500) return new PacelineError('usage', text, { details });
  return new PacelineError('network', text, { details: { ...details, retryable: true } });
}

/** Whether a 404 is what frameworks say of an unknown path (FastAPI, cpp-httplib, gin), and not of a model. */
function isMissingRoute(message: string): boolean {
  return /^((404 )?(page |file )?not found\.?|invalid url\b.*)$/i.test(message);
}

/** The words of an error's body, in any of the shapes that servers have, and the field that it means. */
function faultOf(body: string): { readonly message: string; readonly param?: string } {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return { message: short(body) };
  }
  const { error, message, detail } = isRecord(value) ? value : {};
  const said = (isRecord(error) ? error.message : error) ?? message ?? detail ?? '';
  const param = textOf(fieldOf(error, 'param'));
  return {
    message: short(typeof said === 'string' ? said : JSON.stringify(said)),
    ...(param === '' ? {} : { param: param.slice(0, 200) }),
  };
}

function short(said: string): string {
  const text = said.replace(/\s+/g, ' ').trim();
  return text.length > 500 ? `${text.slice(0, 500)}...` : text;
}

/** Tokens of a prompt that is too long, and of the context, where an error says so. */
function overflowOf(body: string, message: string): readonly [number, number] | undefined {
  const counts =
    /"n_prompt_tokens"\s*:\s*(\d+)[\s\S]*"n_ctx"\s*:\s*(\d+)/.exec(body) ??
    /input \((\d+) tokens\) is longer than[^\d]*\((\d+) tokens\)/.exec(message);
  if (counts !== null) return [Number(counts[1]), Number(counts[2])];
  const context = /maximum context length (?:is|of) (\d+)/.exec(message);
  if (context === null) return undefined;
  const prompt =
    /(?:resulted in|requested|contains at least|prompt contains|has) (\d+)/.exec(message) ??
    /\((\d+) (?:in the messages|input tokens)/.exec(message);
  return [Number(prompt?.[1] ?? Number(context[1]) + 1), Number(context[1])];
}
