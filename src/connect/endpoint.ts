/** What a running server says of itself, as far as tools have to be told it. */
import { PacelineError } from '../base/errors.js';

export interface ServedModel {
  readonly id: string;
  readonly contextLength: number | undefined;
}

/** How long a server on this machine may take to say that it is there. */
const patienceMs = 3000;

/** The address without a path. @throws {PacelineError} `usage` unless it is one of HTTP. */
export function endpointUrl(given: string): string {
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new PacelineError('usage', `${given} is no address of a server`, {
      hint: 'Give one like http://127.0.0.1:11711.',
    });
  }
  return url.origin;
}

/**
 * The models of a server; undefined when nothing answers there.
 * @throws {PacelineError} `unauthorized`; `network` when what answers is no such server.
 */
export async function servedModels(
  url: string,
  apiKey: string | undefined,
): Promise<readonly ServedModel[] | undefined> {
  let response: Response;
  try {
    response = await fetch(`${url}/v1/models`, {
      headers: apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` },
      signal: AbortSignal.timeout(patienceMs),
    });
  } catch {
    return undefined;
  }
  if (response.status === 401 || response.status === 403) {
    throw new PacelineError('unauthorized', `The server on ${url} wants another key`, {
      hint: 'Give it with --api-key, or in PACELINE_API_KEY.',
    });
  }
  const body = (await response.json().catch(() => undefined)) as
    | { readonly data?: readonly { readonly id?: unknown; readonly context_length?: unknown }[] }
    | undefined;
  if (!response.ok || !Array.isArray(body?.data)) {
    throw new PacelineError('network', `What answers on ${url} is no server of models`, {
      hint: 'Give the address of `paceline serve` with --url.',
    });
  }
  return body.data.flatMap(({ id, context_length: context }) =>
    typeof id === 'string'
      ? [{ id, contextLength: typeof context === 'number' ? context : undefined }]
      : [],
  );
}
