/** The server, as the page asks it: with the key of this window, and errors that say what to do. */
import { signal } from '@preact/signals';
import { LineReader } from '../lib/wire.js';
import type { ActivityBody, LibraryBody, StatusBody } from './bodies.js';

const keyName = 'paceline.key';

/** Whether the server has refused this window for want of a key. */
export const needsKey = signal(false);

export function setKey(key: string): void {
  sessionStorage.setItem(keyName, key);
  needsKey.value = false;
}

/** A request that failed; `status` 0: nobody answered. */
export class RequestError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

interface RequestOptions {
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** @throws {RequestError} unless the answer is one of success; an abort as `AbortError`. */
export async function request(path: string, options: RequestOptions = {}): Promise<Response> {
  const { body, signal } = options;
  const key = sessionStorage.getItem(keyName);
  let response: Response;
  try {
    response = await fetch(path, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
      cache: 'no-store',
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new RequestError('The server does not answer. Is `paceline serve` still running?', 0);
  }
  if (response.ok) return response;
  if (response.status === 401) needsKey.value = true;
  throw new RequestError(await messageOf(response), response.status);
}

async function messageOf(response: Response): Promise<string> {
  const body = (await response.json().catch(() => undefined)) as
    | { readonly error?: { readonly message?: string } | string }
    | undefined;
  const { error } = body ?? {};
  const message = typeof error === 'string' ? error : error?.message;
  return message ?? `The server answered with status ${response.status}`;
}

/** The lines of an answer as they come, those of one piece of the network together. */
export async function* lines(response: Response): AsyncGenerator<readonly string[], void> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (reader === undefined) return;
  const cutter = new LineReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      yield cutter.push(value);
    }
    if (cutter.end() !== '') yield [cutter.end()];
  } finally {
    void reader.cancel().catch(() => {});
  }
}

async function json<T>(path: string, options?: RequestOptions): Promise<T> {
  return (await (await request(path, options)).json()) as T;
}

export const getStatus = () => json<StatusBody>('/paceline/v1/status');
export const getLibrary = () => json<LibraryBody>('/paceline/v1/library');
export const getActivity = (model: string, since: number) =>
  json<ActivityBody>(`/paceline/v1/activity?model=${encodeURIComponent(model)}&since=${since}`);
export const loadModel = (model: string) =>
  json<unknown>('/paceline/v1/models/load', { body: { model } });
export const loadFromLibrary = (library: string) =>
  json<unknown>('/paceline/v1/models/load', { body: { library } });
export const unloadModel = (model: string) =>
  json<unknown>('/paceline/v1/models/unload', { body: { model } });
