/**
 * A GGUF file at a plain address: its size, and what tells one version of it from the next. There is no
 * hash to check it by, so what arrives is opened as GGUF before it counts as a model.
 */
import { PacelineError } from '../base/errors.js';
import { type Answer, type Headers, headerOf } from './answer.js';
import type { HttpClient } from './http.js';
import { normalEtag } from './repository.js';

export interface UrlFile {
  /** As it was asked for. */
  readonly url: URL;
  /** Where redirects ended. */
  readonly location: URL;
  readonly size: number;
  /** ETag or date; empty where the server gives neither. */
  readonly content: string;
}

/** What an answer calls its content; empty where it does not say. */
export function contentOf(headers: Headers): string {
  return normalEtag(headerOf(headers, 'etag')) || (headerOf(headers, 'last-modified') ?? '');
}

/**
 * Asks for a file's size without its bytes.
 * @throws {PacelineError} `model-not-found`, `unauthorized`, `network`, `aborted`.
 */
export async function locateUrl(
  client: HttpClient,
  url: URL,
  signal?: AbortSignal,
): Promise<UrlFile> {
  return client.retrying(signal, async () => {
    const answer = await client.send(url, { method: 'HEAD', signal });
    if (answer.status === 404 || answer.status === 410) {
      await answer.body.dump();
      throw new PacelineError('model-not-found', `There is no file at ${url.href}`, {
        hint: 'Check the address.',
        details: { url: url.href, status: answer.status },
      });
    }
    if (answer.status !== 200) throw await client.failure(answer);
    await answer.body.dump();
    return { url, location: answer.url, size: sizeOf(answer), content: contentOf(answer.headers) };
  });
}

function sizeOf({ headers, url }: Answer): number {
  const text = headerOf(headers, 'content-length') ?? '';
  const size = Number(text);
  if (/^\d{1,15}$/.test(text) && size > 0) return size;
  throw new PacelineError('network', `${url.host} does not say how large the file is`, {
    hint: 'Download the file yourself and give its path.',
    details: { url: url.href },
  });
}
