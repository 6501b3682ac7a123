/**
 * Names of models as people write them: `default`, a path, an alias, `hf:owner/repo[@revision][:quant
 * or file]`, an https address. Parses and checks; what a name stands for on this machine is said by
 * `locate.ts`. Whatever comes out is safe to be part of a path or an address.
 */
import { PacelineError } from '../base/errors.js';

/** A model in a repository of the hub. */
export interface HubName {
  readonly kind: 'hub';
  /** `owner/repo`. */
  readonly repository: string;
  /** Branch, tag or commit; `main` unless the name says otherwise. */
  readonly revision: string;
  /** A quantisation (`Q4_K_M`) or a file (`model-Q4_K_M.gguf`); undefined: what fits the machine. */
  readonly selector: string | undefined;
}

export type ModelName =
  | HubName
  | { readonly kind: 'default' }
  | { readonly kind: 'url'; readonly url: URL }
  /** One word that may be an alias, or else a path. */
  | { readonly kind: 'alias'; readonly name: string }
  | { readonly kind: 'path'; readonly path: string };

export const mainRevision = 'main';

const aliasPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const repositoryPart = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?$/;
const hubPattern = /^([^/:@]+)\/([^/:@]+)(?:@([^:]+))?(?::(.+))?$/;

/**
 * What kind of name a text is.
 * @throws {PacelineError} `usage` for a malformed `hf:` name or address.
 */
export function parseModelName(text: string): ModelName {
  if (text === 'default') return { kind: 'default' };
  if (/^hf:/i.test(text)) return parseHubName(text);
  if (/^https?:\/\//i.test(text)) return parseAddress(text);
  if (isAliasName(text)) return { kind: 'alias', name: text };
  return { kind: 'path', path: text };
}

/** Whether a word may be an alias: no path, no file name, and not `default`. */
export function isAliasName(text: string): boolean {
  return aliasPattern.test(text) && text !== 'default' && !/\.gguf$/i.test(text);
}

function parseHubName(text: string): HubName {
  const wrong = (what: string): PacelineError =>
    new PacelineError('usage', `Not a name of a model: ${text} (${what})`, {
      hint: 'Write hf:owner/repo, hf:owner/repo:Q4_K_M or hf:owner/repo:file.gguf.',
      details: { model: text },
    });
  const [, owner = '', repo = '', revision, selector] =
    hubPattern.exec(text.slice(3).replace(/^\/\//, '')) ?? [];
  if (owner === '') throw wrong('an owner and a repository are needed');
  const repository = `${owner}/${repo}`;
  const problem = repositoryProblem(repository);
  if (problem !== undefined) throw wrong(problem);
  for (const [what, path] of [
    ['revision', revision],
    ['file', selector],
  ] as const) {
    const unsafe = path === undefined ? undefined : pathProblem(path);
    if (unsafe !== undefined) throw wrong(`${what}: ${unsafe}`);
  }
  return { kind: 'hub', repository, revision: revision ?? mainRevision, selector };
}

/** What is wrong with `owner/repo` by the hub's own rules; undefined when nothing is. */
function repositoryProblem(repository: string): string | undefined {
  if (repository.length > 96) return 'longer than 96 characters';
  if (repository.includes('--') || repository.includes('..'))
    return '`--` and `..` are not allowed';
  if (!repository.split('/').every((part) => repositoryPart.test(part))) {
    return 'only letters, digits, `-`, `_` and `.` are allowed';
  }
  return undefined;
}

/** Pages and files of the hub as people copy them from a browser are names of the hub. */
const hubAddress =
  /^https:\/\/(?:huggingface\.co|hf\.co)\/([^/?#]+\/[^/?#]+)(?:\/(?:resolve|blob)\/([^/?#]+)\/([^?#]+))?\/?(?:[?#].*)?$/i;

function parseAddress(text: string): ModelName {
  const [, repository, revision, file] = hubAddress.exec(text) ?? [];
  if (repository === undefined) return { kind: 'url', url: parseUrl(text) };
  const at = revision === undefined ? '' : `@${decodeURIComponentSafely(revision)}`;
  const selector = file === undefined ? '' : `:${decodeURIComponentSafely(file)}`;
  return parseHubName(`hf:${repository}${at}${selector}`);
}

function parseUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new PacelineError('usage', `Not an address: ${text}`, {
      hint: 'Give the whole address of a .gguf file.',
      cause,
    });
  }
  const file = decodeURIComponentSafely(url.pathname.split('/').at(-1) ?? '');
  if (url.username === '' && url.password === '' && /\.gguf$/i.test(file)) return url;
  throw new PacelineError('usage', `Not the address of a GGUF file: ${url.origin}${url.pathname}`, {
    hint: 'Give an address without user and password that ends in .gguf, or hf:owner/repo.',
  });
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Why a relative path from the net may not become a path on the disk; undefined when it may. What is
 * refused: climbing out (`..`), absolute paths, empty parts, backslashes, control characters, colons
 * (drives and streams of Windows), names that are too long for file systems.
 */
export function pathProblem(path: string): string | undefined {
  if (path.length === 0 || path.length > 1024) return 'empty or longer than 1024 characters';
  if (/[\p{Cc}\\:*?"<>|]/u.test(path)) return 'contains a character that paths may not have';
  for (const part of path.split('/')) {
    if (part === '' || part === '.' || part === '..') return 'contains an empty part, `.` or `..`';
    if (Buffer.byteLength(part) > 255) return 'has a part longer than 255 bytes';
    if (/[. ]$/.test(part)) return 'has a part that ends in a dot or a space';
  }
  return undefined;
}

/** The text of a name; `parseModelName` reads it back. */
export function formatHubName(
  name: Pick<HubName, 'repository'> & Partial<Omit<HubName, 'kind'>>,
): string {
  const { repository, revision = mainRevision, selector } = name;
  const at = revision === mainRevision ? '' : `@${revision}`;
  return `hf:${repository}${at}${selector === undefined ? '' : `:${selector}`}`;
}
