/**
 * Where the hub is and where its files lie on this machine, as Hugging Face's own tools read it from
 * the environment: `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`, `HF_TOKEN_PATH`,
 * `HF_HUB_OFFLINE`, `HF_HUB_DISABLE_SYMLINKS`. Follows `huggingface_hub`'s `constants.py` (2.4), so
 * that both find the same files. Reads the token's file, and nothing else of the disk.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { PacelineError } from '../base/errors.js';

export interface HubEnvironment {
  /** Without a path's final slash. */
  readonly endpoint: URL;
  readonly token: string | undefined;
  /** The folder that holds `models--owner--repo`. */
  readonly cache: string;
  readonly offline: boolean;
  /** False: snapshots hold files instead of links. */
  readonly symlinks: boolean;
}

type Variables = Readonly<Record<string, string | undefined>>;

const usualEndpoint = 'https://huggingface.co';

/**
 * The environment's settings.
 * @throws {PacelineError} `usage` when `HF_ENDPOINT` is no http address or a token can't be sent.
 */
export function hubEnvironment(
  env: Variables = process.env,
  home: string = homedir(),
): HubEnvironment {
  const hubHome =
    place(env.HF_HOME, env, home) ??
    join(place(env.XDG_CACHE_HOME, env, home) ?? join(home, '.cache'), 'huggingface');
  const cache =
    place(env.HF_HUB_CACHE, env, home) ??
    place(env.HUGGINGFACE_HUB_CACHE, env, home) ??
    join(hubHome, 'hub');
  return {
    endpoint: endpointOf(env.HF_ENDPOINT),
    token: isSet(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)
      ? undefined
      : tokenOf(env, place(env.HF_TOKEN_PATH, env, home) ?? join(hubHome, 'token')),
    cache,
    offline: isSet(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE),
    symlinks: !isSet(env.HF_HUB_DISABLE_SYMLINKS),
  };
}

/** A switch as Hugging Face's tools read it. */
function isSet(value: string | undefined): boolean {
  return /^(1|on|yes|true)$/i.test(value ?? '');
}

/** A folder or file from a variable: `~` and `$NAME` stand for what they do in a shell. */
function place(value: string | undefined, env: Variables, home: string): string | undefined {
  if (value === undefined || value === '') return undefined;
  return value
    .replace(/^~(?=$|[/\\])/, home)
    .replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced?: string, plain?: string) => {
      return env[braced ?? plain ?? ''] ?? whole;
    });
}

function endpointOf(value: string | undefined): URL {
  const text = (value || usualEndpoint).replace(/\/+$/, '');
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.username === '') return url;
  throw new PacelineError('usage', `HF_ENDPOINT is not an http address: ${text}`, {
    hint: `Unset it for ${usualEndpoint}, or give the address of a mirror.`,
  });
}

function tokenOf(env: Variables, path: string): string | undefined {
  const token = clean(env.HF_TOKEN) ?? clean(env.HUGGING_FACE_HUB_TOKEN) ?? clean(fileText(path));
  if (token === undefined || /^[\x21-\x7e]{1,4096}$/.test(token)) return token;
  throw new PacelineError('usage', 'The token of Hugging Face has characters that no token has', {
    hint: 'Check HF_TOKEN, or the file `token` in HF_HOME.',
  });
}

function clean(text: string | undefined): string | undefined {
  return text?.trim() || undefined;
}

function fileText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
