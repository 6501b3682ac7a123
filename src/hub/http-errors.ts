/**
 * What the hub's refusals mean, and what to do about them. The hub says more in `X-Error-Code` than in
 * the status: a missing repository is a 401 to who has no token, since it might be a private one.
 */
import { PacelineError } from '../base/errors.js';
import { type Answer, type Headers, headerOf } from './answer.js';

interface Context {
  readonly hasToken: boolean;
  /** Whether the answer is the hub's own, not that of a storage it sent us to. */
  readonly onHub: boolean;
}

/** `owner/repo` in an address of the hub, for messages. */
function repositoryOf(url: URL): string | undefined {
  const [, api, file] =
    /\/api\/models\/([^/]+\/[^/]+)|^\/?(?:.*\/)?([^/]+\/[^/]+)\/resolve\//.exec(url.pathname) ?? [];
  return api ?? file;
}

const lacksToken =
  'Set HF_TOKEN to a token from https://huggingface.co/settings/tokens, or run `hf auth login`.';

/** The error for an answer that is no success. */
export function responseError({ url, status, headers }: Answer, context: Context): PacelineError {
  const code = headerOf(headers, 'x-error-code');
  const said = printableText(headerOf(headers, 'x-error-message'));
  const repository = repositoryOf(url) ?? `${url.host}${url.pathname}`;
  const details = { url: `${url.origin}${url.pathname}`, status, ...(code ? { code } : {}) };
  const make = (kind: 'network' | 'unauthorized' | 'model-not-found', what: string, hint: string) =>
    new PacelineError(kind, what, { hint, details });
  const suffix = said === '' ? '' : `: ${said}`;

  if (code === 'GatedRepo') {
    const page = `${url.origin}/${repository}`;
    return make(
      'unauthorized',
      `${repository} is gated: its owner grants access to each user`,
      context.hasToken
        ? `Ask for access on ${page} with the account of your token, then pull again.`
        : `Accept the terms on ${page}. ${lacksToken}`,
    );
  }
  if (code === 'RevisionNotFound') {
    return make(
      'model-not-found',
      `${repository} has no such revision`,
      'Check what follows the @.',
    );
  }
  if (code === 'EntryNotFound') {
    return make('model-not-found', `${repository} has no such file`, 'Check the file’s name.');
  }
  const credentials = /invalid credentials/i.test(said);
  if (
    code === 'RepoNotFound' ||
    (context.onHub && (status === 404 || (status === 401 && !credentials)))
  ) {
    return make(
      'model-not-found',
      `There is no repository ${repository}, or it is private`,
      context.hasToken
        ? 'Check the spelling. If it is private, the token has no access to it.'
        : `Check the spelling. If it is private, this is needed: ${lacksToken}`,
    );
  }
  if ((status === 401 || status === 403) && !context.onHub) {
    return make(
      'unauthorized',
      `${url.host} refused access${suffix}`,
      'Check the address: outside of the hub only what anybody may read can be pulled.',
    );
  }
  if (status === 401 || status === 403) {
    return make(
      'unauthorized',
      `${url.host} refused access to ${repository}${suffix}`,
      context.hasToken
        ? 'Check the token (HF_TOKEN or the file `token` in HF_HOME): it is wrong, or lacks this right.'
        : lacksToken,
    );
  }
  if (status === 429) {
    return make(
      'network',
      `${url.host} says that there were too many requests`,
      context.hasToken
        ? 'Wait some minutes, then pull again: it goes on where it stopped.'
        : `Wait, then pull again. With a token the limit is higher. ${lacksToken}`,
    );
  }
  return make(
    'network',
    `${url.host} answered with status ${status}${suffix}`,
    'Try again later; what was downloaded so far is kept.',
  );
}

/** A server's words without what could steer a terminal, and not too many. */
function printableText(text: string | undefined): string {
  return (text ?? '')
    .replace(/[^\x20-\x7e]/g, ' ')
    .slice(0, 300)
    .trim();
}

/**
 * How long the server asks to wait: `Retry-After` in seconds or as a date, or what the hub's `RateLimit`
 * header says of the time until its window ends (draft-ietf-httpapi-ratelimit-headers).
 * @returns milliseconds, or undefined where nothing sensible was said.
 */
export function retryAfterMs(headers: Headers, now: number): number | undefined {
  const text = headerOf(headers, 'retry-after');
  if (text !== undefined) {
    // Dates have names of months; without that V8 takes `-5` for one, too.
    const date = /[a-z]{3}/i.test(text) ? Date.parse(text) : Number.NaN;
    const ms = /^\d+$/.test(text) ? Number(text) * 1000 : date - now;
    if (Number.isFinite(ms)) return Math.max(0, ms);
  }
  const reset = /\br\s*=\s*0\s*;\s*t\s*=\s*(\d+)/.exec(headerOf(headers, 'ratelimit') ?? '')?.[1];
  return reset === undefined ? undefined : (Number(reset) + 1) * 1000;
}
