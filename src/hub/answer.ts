/** What a server answers, before anybody reads it. */
import type { Dispatcher } from 'undici';

/** Header names are in lower case. */
export type Headers = Readonly<Record<string, string | string[] | undefined>>;

export interface Answer {
  /** Where the answer came from in the end. */
  readonly url: URL;
  readonly status: number;
  readonly headers: Headers;
  readonly body: Dispatcher.ResponseData['body'];
}

/** One header as text; the first where a server sends several. */
export function headerOf(headers: Headers, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.[0];
}
