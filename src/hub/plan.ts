/**
 * What pulling a name would mean, before anything is downloaded: which files, how many bytes of them
 * are not here yet, which drafters the repository offers, and whether the disk has room.
 */
import { stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { hostMemory } from '../ggml/host.js';
import { CachedRepository } from './cache.js';
import type { HubEnvironment } from './environment.js';
import {
  chooseModel,
  type DrafterKind,
  draftersFor,
  type ModelFiles,
  modelsOf,
  type Room,
  selectorOf,
} from './gguf-files.js';
import type { HttpClient } from './http.js';
import { uncheckedTarget, urlTarget } from './locate.js';
import { formatHubName, type HubName, parseModelName } from './names.js';
import { partialBytes, partialSuffix } from './partial.js';
import { listRepository, type RepositoryFile, type RepositoryListing } from './repository.js';
import { locateUrl, type UrlFile } from './url.js';

/** What would be pulled. */
export interface PlannedModel {
  /** As the user may write it. */
  readonly name: string;
  /** With the file: how it is remembered. */
  readonly key: string;
  readonly quant: string | undefined;
  /** Why this quantisation, where the name left it open. */
  readonly why: string | undefined;
  readonly drafter: DrafterKind | undefined;
  readonly bytes: number;
  /** Of those, what is not on the disk yet. */
  readonly missingBytes: number;
  readonly parts: number;
  readonly source:
    | {
        readonly kind: 'hub';
        readonly hub: HubName;
        readonly commit: string;
        readonly files: readonly RepositoryFile[];
      }
    | { readonly kind: 'url'; readonly file: UrlFile; readonly target: string };
}

export interface PullPlan {
  readonly model: PlannedModel;
  /** Drafters in the same repository, by their names. */
  readonly offered: readonly PlannedModel[];
  /** Drafters that were asked for by name. */
  readonly wanted: readonly PlannedModel[];
}

export interface PlanContext {
  readonly client: HttpClient;
  readonly environment: Pick<HubEnvironment, 'cache'>;
  /** Names of drafters in other repositories. */
  readonly drafters?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Default: this machine. */
  readonly room?: Room | undefined;
}

/** Finds out what pulling a name would mean. @throws as `pullModel`. */
export async function planPull(text: string, context: PlanContext): Promise<PullPlan> {
  const { model, others } = await planModel(text, context);
  const wanted: PlannedModel[] = [];
  for (const drafter of context.drafters ?? []) {
    wanted.push((await planModel(drafter, context)).model);
  }
  return { model, offered: others, wanted };
}

async function planModel(
  text: string,
  context: PlanContext,
): Promise<{ model: PlannedModel; others: PlannedModel[] }> {
  const name = parseModelName(text);
  if (name.kind === 'url') return { model: await planUrl(name.url, context), others: [] };
  if (name.kind === 'hub') return planHub(name, context);
  const meant = /^[\w.-]+\/[\w.-]+(:[^:]+)?$/.test(text) ? `Did you mean hf:${text}? ` : '';
  throw new PacelineError('usage', `${text} is nothing to pull`, {
    hint: `${meant}Pull hf:owner/repo, hf:owner/repo:Q4_K_M, hf:owner/repo:file.gguf or an address of a .gguf file.`,
    details: { model: text },
  });
}

async function planHub(
  hub: HubName,
  context: PlanContext,
): Promise<{ model: PlannedModel; others: PlannedModel[] }> {
  const listing = await listRepository(context.client, hub, context.signal);
  const models = modelsOf(listing.files);
  const room = context.room ?? hostMemory();
  const { model, why } = chooseModel(models, hub.selector, hub.repository, room);
  const plan = (files: ModelFiles, reason?: string): Promise<PlannedModel> =>
    planned(hub, listing, models, files, reason, context);
  return {
    model: await plan(model, why),
    others: await Promise.all(draftersFor(models, model).map((drafter) => plan(drafter))),
  };
}

async function planned(
  hub: HubName,
  { commit }: RepositoryListing,
  models: readonly ModelFiles[],
  model: ModelFiles,
  why: string | undefined,
  { environment }: PlanContext,
): Promise<PlannedModel> {
  const cached = new CachedRepository(environment.cache, hub.repository);
  let missingBytes = 0;
  for (const file of model.files) missingBytes += await missing(cached, commit, file);
  return {
    name: formatHubName({ ...hub, selector: selectorOf(models, model) }),
    key: formatHubName({ ...hub, selector: model.path }),
    quant: model.quant,
    why,
    drafter: model.drafter,
    bytes: model.bytes,
    missingBytes,
    parts: model.files.length,
    source: { kind: 'hub', hub, commit, files: model.files },
  };
}

async function planUrl(url: URL, context: PlanContext): Promise<PlannedModel> {
  const file = await locateUrl(context.client, url, context.signal);
  const target = urlTarget(url);
  const there = await hasSize(target, file.size);
  const left = there
    ? file.size
    : await partialBytes({
        ...{
          path: `${uncheckedTarget(target)}${partialSuffix}`,
          size: file.size,
          content: file.content,
        },
        label: url.href,
      });
  return {
    name: url.href,
    key: url.href,
    quant: undefined,
    why: undefined,
    drafter: undefined,
    bytes: file.size,
    missingBytes: file.size - left,
    parts: 1,
    source: { kind: 'url', file, target },
  };
}

/** Bytes of a file that are not on the disk. */
async function missing(
  cached: CachedRepository,
  commit: string,
  { path, size, etag }: RepositoryFile,
): Promise<number> {
  if (await hasSize(cached.pointer(commit, path), size)) return 0;
  if (await hasSize(cached.blob(etag), size)) return 0;
  const partial = `${cached.blob(etag)}${partialSuffix}`;
  return size - (await partialBytes({ path: partial, size, content: etag, label: path }));
}

/** Whether a file is there; a blob of another length was not written by anybody who checks hashes. */
export function hasSize(path: string, size: number): Promise<boolean> {
  return stat(path).then(
    (facts) => facts.isFile() && facts.size === size,
    () => false,
  );
}

/** Room that a disk must keep besides. */
const spareBytes = 64 * 2 ** 20;

/**
 * Checks the room on the disks that models go to, before anything is downloaded.
 * @throws {PacelineError} `io` when one has too little.
 */
export async function checkDisk(models: readonly PlannedModel[], cache: string): Promise<void> {
  const needs = new Map<string, number>();
  for (const { source, missingBytes } of models) {
    const folder = source.kind === 'hub' ? cache : dirname(source.target);
    needs.set(folder, (needs.get(folder) ?? 0) + missingBytes);
  }
  for (const [folder, bytes] of needs) {
    const free = await freeBytes(folder);
    if (bytes === 0 || free === undefined || bytes + spareBytes <= free) continue;
    throw new PacelineError(
      'io',
      `The disk of ${folder} has ${gibibytes(free)} left, and ${gibibytes(bytes)} are to be downloaded`,
      {
        hint: 'Free some space (`paceline ls`, `paceline rm`), or name another folder in HF_HUB_CACHE.',
        details: { folder, free, needed: bytes },
      },
    );
  }
}

/** Bytes that this user may still write below a folder that need not exist yet. */
export async function freeBytes(folder: string): Promise<number | undefined> {
  for (let at = folder; ; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return bavail * bsize;
    } catch {
      if (dirname(at) === at) return undefined;
    }
  }
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
