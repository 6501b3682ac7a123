/**
 * What a release on GitHub has: the parts of an archive with their sizes and SHA-256s, from the
 * release's listing. A part without a SHA-256, or with another one than was recorded, is refused.
 */
import { PacelineError } from '../../base/errors.js';
import { headerOf } from '../../hub/answer.js';
import { type HttpClient, readBody } from '../../hub/http.js';
import { retryAfterMs } from '../../hub/http-errors.js';
import type { ReleaseAsset } from '../descriptor.js';

/** A file that is downloaded, and is thrown away unless both numbers are right. */
export interface Part {
  readonly name: string;
  readonly url: URL;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** GitHub's API; `PACELINE_RELEASES` names a mirror of it. */
export function releasesEndpoint(env: Readonly<Record<string, string | undefined>>): URL {
  const text = env.PACELINE_RELEASES || 'https://api.github.com';
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return new URL(text);
  throw new PacelineError('usage', `PACELINE_RELEASES is no address: ${JSON.stringify(text)}`, {
    hint: 'Give the address of a mirror of GitHub’s API, or unset it.',
  });
}

const mostListing = 16 * 2 ** 20;

/**
 * The parts of an archive, in the order in which they join.
 * @throws {PacelineError} `network` when the release can't be read, lacks parts, or says too little of
 *   them; `check-failed` when it says something else than what was recorded; `aborted`.
 */
export async function partsOf(
  asset: ReleaseAsset,
  client: HttpClient,
  signal?: AbortSignal,
): Promise<Part[]> {
  const { repository, tag, name } = asset;
  const files = filesOf(await listing(asset, client, signal));
  if (files === undefined) throw strange(asset, 'the listing is none');
  const whole = files.get(name);
  const parts = whole === undefined ? numbered(asset, files) : [whole];
  return parts.map((file) => {
    const url = URL.canParse(file.url) ? new URL(file.url) : undefined;
    const safe = url?.protocol === 'https:' || client.endpoint.protocol === 'http:';
    if (url === undefined || !/^https?:$/.test(url.protocol) || !safe) {
      throw strange(asset, `the address of ${file.name} is none to download from`);
    }
    if (!Number.isSafeInteger(file.bytes) || file.bytes <= 0) {
      throw strange(asset, `it does not say how large ${file.name} is`);
    }
    const sha256 = /^sha256:([0-9a-f]{64})$/.exec(file.digest)?.[1];
    if (sha256 === undefined) throw strange(asset, `it names no SHA-256 of ${file.name}`);
    const known = asset.recorded.find((part) => part.name === file.name);
    if (known !== undefined && known.sha256 !== sha256) {
      throw new PacelineError(
        'check-failed',
        `${file.name} of ${repository} ${tag} is not what it was: its SHA-256 is ${sha256}, not ${known.sha256}`,
        {
          hint: 'The release was replaced after it was checked. Wait for a version of Paceline that knows it.',
          details: { repository, tag, file: file.name, expected: known.sha256, found: sha256 },
        },
      );
    }
    return { name: file.name, url, bytes: file.bytes, sha256 };
  });
}

interface ListedFile {
  readonly name: string;
  readonly url: string;
  readonly bytes: number;
  readonly digest: string;
}

/** `base.partNN-of-MM.tar.gz`, all of them. */
function numbered(asset: ReleaseAsset, files: ReadonlyMap<string, ListedFile>): ListedFile[] {
  const base = asset.name.replace(/\.tar\.gz$/, '');
  const found: ListedFile[] = [];
  let count = 0;
  for (const [name, file] of files) {
    if (!name.startsWith(`${base}.part`)) continue;
    const [, at, all] = /\.part(\d{1,3})-of-(\d{1,3})\.tar\.gz$/.exec(name) ?? [];
    if (at === undefined) continue;
    if (count !== 0 && count !== Number(all)) throw strange(asset, 'its parts do not fit together');
    count = Number(all);
    found[Number(at) - 1] = file;
  }
  if (count === 0) throw strange(asset, `it has no ${asset.name}, whole or in parts`);
  const parts = Array.from({ length: count }, (_, at) => found[at]);
  const missing = parts.indexOf(undefined);
  if (missing >= 0 || found.length > count) {
    throw strange(asset, `part ${missing < 0 ? found.length : missing + 1} of ${count} is missing`);
  }
  return parts as ListedFile[];
}

function filesOf(listed: unknown): Map<string, ListedFile> | undefined {
  const assets = (listed as { assets?: unknown } | null)?.assets;
  if (!Array.isArray(assets)) return undefined;
  const files = new Map<string, ListedFile>();
  for (const one of assets as (Record<string, unknown> | null)[]) {
    if (one === null || typeof one !== 'object' || typeof one.name !== 'string') continue;
    files.set(one.name, {
      name: one.name,
      url: String(one.browser_download_url),
      bytes: Number(one.size),
      digest: String(one.digest),
    });
  }
  return files;
}

async function listing(
  asset: ReleaseAsset,
  client: HttpClient,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  const path = `/repos/${asset.repository}/releases/tags/${encodeURIComponent(asset.tag)}`;
  const ask = async (): Promise<string> => {
    const answer = await client.send(client.address(path), { signal });
    if (answer.status === 200) return readBody(answer, mostListing, signal);
    const limited = headerOf(answer.headers, 'x-ratelimit-remaining') === '0';
    if (answer.status === 404) {
      await answer.body.dump();
      throw strange(asset, 'there is no such release');
    }
    const wait = retryAfterMs(answer.headers, Date.now());
    if (limited || (answer.status === 403 && wait === undefined)) {
      await answer.body.dump();
      throw new PacelineError('network', `${answer.url.host} answers no more questions for now`, {
        hint: 'It answers some tens of them in an hour for each address. Try again in an hour.',
        details: { url: answer.url.href, status: answer.status },
      });
    }
    throw await client.failure(answer);
  };
  // Nothing is lost yet by giving up: whoever has no network should hear it soon.
  const text = await client.retrying(signal, ask, Math.min(3, client.tries));
  try {
    return JSON.parse(text);
  } catch {
    throw strange(asset, 'the listing is no JSON');
  }
}

function strange({ repository, tag }: ReleaseAsset, what: string): PacelineError {
  return new PacelineError(
    'network',
    `The release ${tag} of ${repository} can’t be used: ${what}`,
    {
      hint: `Look at https://github.com/${repository}/releases, and at PACELINE_RELEASES if it is set.`,
      details: { repository, tag },
    },
  );
}
