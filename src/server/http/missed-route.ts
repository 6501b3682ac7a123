/** What to say to requests that no route takes: a wrong method, a mistyped path, a path of another API. */

import { PacelineError } from '../../base/errors.js';
import { nearest } from '../../base/options.js';

export interface Route {
  readonly method: string;
  /** As the router has it: `/v1/models/:model{.+}`. */
  readonly path: string;
}

/** A body that shows what a path wants; others are in `/openapi.json`. */
const examples: Readonly<Record<string, string>> = {
  '/v1/chat/completions': '{"model": "MODEL", "messages": [{"role": "user", "content": "Hello"}]}',
  '/v1/completions': '{"model": "MODEL", "prompt": "Hello"}',
  '/v1/responses': '{"model": "MODEL", "input": "Hello"}',
  '/v1/embeddings': '{"model": "MODEL", "input": "Hello"}',
  '/v1/messages':
    '{"model": "MODEL", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}',
  '/api/chat': '{"model": "MODEL", "messages": [{"role": "user", "content": "Hello"}]}',
  '/api/generate': '{"model": "MODEL", "prompt": "Hello"}',
};

/** So much of a path is compared: nobody mistypes more. */
const longestPath = 100;

/**
 * The error of a request that no route took.
 * @param server its address and the name of one of its models, for the example.
 */
export function missedRoute(
  { method, path }: Route,
  routes: readonly Route[],
  { address, model }: { readonly address: string; readonly model: string },
): PacelineError {
  const known = routes.filter((route) => route.method !== 'ALL');
  const methods = known.filter((route) => takes(route, path)).map((route) => route.method);
  // A route that takes the method and found nothing has another answer.
  if (methods.length > 0 && !methods.includes(method)) {
    const allowed = [...new Set(methods)].join(', ');
    const example = examples[path]?.replace('MODEL', model);
    return new PacelineError('wrong-method', `${path} takes ${allowed}, and this was ${method}`, {
      hint:
        example === undefined
          ? 'GET /openapi.json lists all routes.'
          : `Try: curl ${address}${path} -d '${example}'`,
      details: { allowed },
    });
  }
  const meant = meantPath(path, [...new Set(known.map((route) => route.path))]);
  return new PacelineError('not-found', `There is no ${method} ${path.slice(0, longestPath)}`, {
    hint:
      meant === undefined
        ? 'GET /openapi.json lists all routes.'
        : `Did you mean ${meant}? GET /openapi.json lists all routes.`,
  });
}

function takes({ path: pattern }: Route, path: string): boolean {
  const parts = pattern.split('/');
  const given = path.split('/');
  const open = parts.at(-1)?.endsWith('{.+}') === true;
  if (open ? given.length < parts.length : given.length !== parts.length) return false;
  return parts.every((part, at) => (part.startsWith(':') ? given[at] !== '' : part === given[at]));
}

/** Base URLs lack `/v1`, have it twice or have something before it, and words are mistyped. */
function meantPath(path: string, paths: readonly string[]): string | undefined {
  const plain = paths.filter((known) => known.length > 1 && !/[:*]/.test(known));
  if (path.length > longestPath) return undefined;
  const tail = plain.find((known) => path.endsWith(known) || known.endsWith(path));
  return (path.length > 1 ? tail : undefined) ?? nearest(path, plain);
}
