/**
 * Gets models: asks the hub what a repository has, chooses, checks the room on the disk, downloads what
 * is missing into Hugging Face's cache, and remembers drafters and an alias. Another process that pulls
 * the same file is waited for; one that was killed is continued. A branch is noted as current only when
 * all of its files are here.
 */
import { rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import { readGguf } from '../gguf/reader.js';
import { hasMtpBlock, isAssistant, isDflash, isDraftOnly } from '../models/draft-kind.js';
import { supportedArchitectures } from '../models/registry.js';
import { headerOf } from './answer.js';
import { CachedRepository, entriesOf, makeFolder } from './cache.js';
import { download } from './download.js';
import type { HubEnvironment } from './environment.js';
import type { Room } from './gguf-files.js';
import { HttpClient, type HttpOptions } from './http.js';
import { locateModel, uncheckedTarget } from './locate.js';
import { withLock } from './lock.js';
import { parseModelName } from './names.js';
import { isChanged, partialLabel, partialSuffix, removePartial } from './partial.js';
import { checkDisk, hasSize, type PlannedModel, type PullPlan, planPull } from './plan.js';
import { isCommit, locateFile, normalEtag, type RepositoryFile } from './repository.js';
import {
  aliasTarget,
  changeSettings,
  checkAlias,
  type ModelSettings,
  readSettings,
} from './settings.js';
import { contentOf, locateUrl } from './url.js';

export interface PulledModel {
  readonly name: string;
  readonly path: string;
  readonly commit: string | undefined;
  readonly quant: string | undefined;
  readonly why: string | undefined;
  readonly bytes: number;
  readonly downloadedBytes: number;
  readonly files: readonly {
    readonly path: string;
    readonly bytes: number;
    readonly hash: string | undefined;
  }[];
  readonly architecture: string | undefined;
  /** Whether this version runs it; false for drafters. */
  readonly runs: boolean;
}

export interface PulledDrafter extends PulledModel {
  readonly key: string;
  /** False when this version has no drafter of the kind; then it is not loaded with the model. */
  readonly remembered: boolean;
}

export interface PullResult {
  readonly model: PulledModel;
  readonly drafters: readonly PulledDrafter[];
  readonly alias: string | undefined;
}

export interface PullOptions {
  readonly environment: HubEnvironment;
  /** Names of drafters in other repositories. */
  readonly drafters?: readonly string[] | undefined;
  /** Word to remember the model by. */
  readonly alias?: string | undefined;
  /**
   * Which of the offered drafters to pull; throws to pull nothing at all. Default: none of them.
   */
  readonly accept?: ((plan: PullPlan) => Promise<readonly PlannedModel[]>) | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Told in one sentence what the user may want to know meanwhile. */
  readonly onNote?: ((text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly connections?: number | undefined;
  /** Timing and number of tries. */
  readonly http?: Pick<HttpOptions, 'silenceMs' | 'pauseMs' | 'tries'> | undefined;
  /** Injected by tests. */
  readonly room?: Room | undefined;
  readonly settingsPath?: string | undefined;
}

/** What all steps of a pull share. */
interface Context extends PullOptions {
  readonly client: HttpClient;
}

/**
 * Pulls a model by its name or alias. A model on the disk is pulled again only as far as it changed.
 * @throws {PacelineError} `usage`, `model-not-found`, `unauthorized`, `network`, `memory` when no
 *   quantisation fits, `io` when the disk has no room, `broken-file`, `aborted`; whatever `accept` throws.
 */
export async function pullModel(text: string, options: PullOptions): Promise<PullResult> {
  if (options.alias !== undefined) checkAlias(options.alias);
  const settings = await readSettings(options.settingsPath);
  const name = meant(text, settings);
  const { alias } = options;
  if (alias !== undefined && parseModelName(name).kind === 'path')
    return namePath(name, alias, options);
  if (options.environment.offline) return pullOffline(name, settings, options);
  await using client = new HttpClient({
    endpoint: options.environment.endpoint,
    token: options.environment.token,
    onNote: options.onNote,
    ...options.http,
  });
  const context: Context = { ...options, client };
  try {
    return await pullOnce(text, name, settings, context);
  } catch (error) {
    if (!isChanged(error)) throw error;
    options.onNote?.(`${(error as PacelineError).message}; starting again with the new version`);
    return await pullOnce(text, name, settings, context);
  }
}

async function pullOnce(
  text: string,
  name: string,
  settings: ModelSettings,
  context: Context,
): Promise<PullResult> {
  const plan = await planPull(name, context);
  const accepted = [...plan.wanted, ...((await context.accept?.(plan)) ?? [])];
  await checkDisk([plan.model, ...accepted], context.environment.cache);
  const model = await fetchModel(plan.model, context);
  const drafters: PulledDrafter[] = [];
  for (const planned of accepted) {
    const pulled = await fetchModel(planned, context);
    drafters.push({ ...pulled, key: planned.key, remembered: await canDraft(pulled.path) });
  }
  const keys = drafters.filter(({ remembered }) => remembered).map(({ key }) => key);
  const { alias } = context;
  await changeSettings((before) => {
    const known = before.drafters[plan.model.key] ?? [];
    const merged = [...new Set([...known, ...keys])];
    if (alias === undefined && merged.length === known.length) return before;
    return {
      aliases:
        alias === undefined ? before.aliases : { ...before.aliases, [alias]: plan.model.name },
      drafters:
        merged.length === 0 ? before.drafters : { ...before.drafters, [plan.model.key]: merged },
    };
  }, context.settingsPath);
  return { model, drafters, alias: alias ?? (isAlias(text, settings) ? text : undefined) };
}

function isAlias(text: string, settings: ModelSettings): boolean {
  return aliasTarget(settings, text) !== undefined;
}

/** The name behind an alias. */
function meant(text: string, settings: ModelSettings): string {
  const name = parseModelName(text);
  return name.kind === 'alias' ? (aliasTarget(settings, name.name) ?? text) : text;
}

/** A file of the user's own only gets a name. */
async function namePath(text: string, alias: string, options: PullOptions): Promise<PullResult> {
  const path = resolve(text);
  const facts = await headerFacts(path);
  const { size: bytes } = await stat(path);
  await changeSettings(
    (before) => ({ ...before, aliases: { ...before.aliases, [alias]: path } }),
    options.settingsPath,
  );
  const nothing = { commit: undefined, quant: undefined, why: undefined, downloadedBytes: 0 };
  return {
    model: { name: path, path, bytes, files: [], ...nothing, ...facts },
    drafters: [],
    alias,
  };
}

/** Without the net: what is here counts as pulled. */
async function pullOffline(
  name: string,
  settings: ModelSettings,
  options: PullOptions,
): Promise<PullResult> {
  const found = await locateModel(name, { ...options, settings });
  if (!('path' in found)) {
    throw new PacelineError('network', `${name} is not here, and HF_HUB_OFFLINE is set`, {
      hint: 'Unset HF_HUB_OFFLINE to pull it.',
      details: { model: name },
    });
  }
  const bytes = (await stat(found.path)).size;
  const { alias } = options;
  if (alias !== undefined) {
    await changeSettings(
      (before) => ({ ...before, aliases: { ...before.aliases, [alias]: name } }),
      options.settingsPath,
    );
  }
  return {
    model: {
      name,
      path: found.path,
      commit: undefined,
      quant: undefined,
      bytes,
      why: 'HF_HUB_OFFLINE is set, and it is here',
      downloadedBytes: 0,
      files: [],
      ...(await headerFacts(found.path)),
    },
    drafters: [],
    alias: options.alias,
  };
}

/** Downloads what is missing of a planned model and says what is here now. */
async function fetchModel(planned: PlannedModel, context: Context): Promise<PulledModel> {
  const { name, quant, why, bytes, source } = planned;
  const files: { path: string; bytes: number; hash: string | undefined }[] = [];
  let downloadedBytes = 0;
  if (source.kind === 'url') {
    downloadedBytes = await fetchUrl(source, context);
    files.push({ path: source.target, bytes, hash: undefined });
  } else {
    const { hub, commit } = source;
    const cached = new CachedRepository(context.environment.cache, hub.repository);
    for (const file of source.files) {
      downloadedBytes += await fetchFile(cached, commit, file, context);
      files.push({ path: cached.pointer(commit, file.path), bytes: file.size, hash: file.etag });
    }
    if (!isCommit(hub.revision)) await cached.setCommit(hub.revision, commit);
  }
  const path = files[0]?.path ?? '';
  return {
    name,
    path,
    quant,
    why,
    bytes,
    downloadedBytes,
    files,
    commit: source.kind === 'hub' ? source.commit : undefined,
    ...(await headerFacts(path)),
  };
}

/** One file into a snapshot; bytes that came over the network. */
async function fetchFile(
  cached: CachedRepository,
  commit: string,
  { path, size, etag }: RepositoryFile,
  context: Context,
): Promise<number> {
  const pointer = cached.pointer(commit, path);
  const { client, environment, signal } = context;
  const { symlinks } = environment;
  if (await hasSize(pointer, size)) return 0;
  return locked(cached.lock(etag), path, context, async () => {
    if (await hasSize(pointer, size)) return 0;
    if (await hasSize(cached.blob(etag), size)) {
      await cached.link(etag, commit, path, { fresh: false, symlinks });
      return 0;
    }
    await makeFolder(cached.blobs);
    const fetched = await download({
      ...context,
      locate: () => locateFile(client, cached.repository, commit, path, signal),
      target: cached.blob(etag),
      size,
      etag,
      hash: etag.length === 64 ? 'sha256' : 'git',
      label: path,
      // The hub's own answers name the content; a storage has ETags of its own kind.
      identify: (answer) =>
        client.isHub(answer.url) ? normalEtag(headerOf(answer.headers, 'etag')) : undefined,
    });
    await cached.link(etag, commit, path, { fresh: true, symlinks });
    await removeOlder(cached, path, etag);
    return fetched;
  });
}

/** Partial downloads of earlier versions of a file: nobody will continue them. */
async function removeOlder(cached: CachedRepository, path: string, etag: string): Promise<void> {
  for (const name of await entriesOf(cached.blobs)) {
    if (!name.endsWith(partialSuffix) || name.startsWith(etag)) continue;
    const partial = cached.blob(name);
    if ((await partialLabel(partial)) === path) await removePartial(partial);
  }
}

async function fetchUrl(
  { file, target }: Extract<PlannedModel['source'], { kind: 'url' }>,
  context: Context,
): Promise<number> {
  if (await hasSize(target, file.size)) return 0;
  await makeFolder(dirname(target));
  const { client, signal } = context;
  return locked(`${target}.lock`, file.url.href, context, async () => {
    if (await hasSize(target, file.size)) return 0;
    const unchecked = uncheckedTarget(target);
    // What a server does not name can't be known to be the same as before.
    if (file.content === '') await removePartial(`${unchecked}${partialSuffix}`);
    const fetched = await download({
      ...context,
      locate: async () => {
        const { location, size, content } = await locateUrl(client, file.url, signal);
        return { url: location, size, etag: content };
      },
      target: unchecked,
      size: file.size,
      etag: file.content,
      hash: undefined,
      label: file.url.href,
      identify: ({ headers }) => contentOf(headers) || undefined,
    });
    try {
      await (await readGguf(unchecked, { signal })).close();
    } catch (error) {
      await rm(unchecked, { force: true });
      throw error;
    }
    await rename(unchecked, target);
    return fetched;
  });
}

function locked<T>(
  path: string,
  what: string,
  { signal, onNote }: Context,
  work: () => Promise<T>,
): Promise<T> {
  const onWait = (holder: number | undefined): void =>
    onNote?.(
      `waiting for ${holder === undefined ? 'another process' : `process ${holder}`}, which pulls ${what}`,
    );
  return withLock(path, work, { signal, onWait });
}

/** What the header of a pulled file says. @throws as `readGguf`. */
async function headerFacts(path: string): Promise<Pick<PulledModel, 'architecture' | 'runs'>> {
  await using file = await readGguf(path);
  const architecture = file.optionalString('general.architecture');
  const runs = supportedArchitectures.includes(architecture ?? '') && !isDraftOnly(file);
  return { architecture, runs };
}

/** Whether a file holds a drafter of a kind that this version has. */
async function canDraft(path: string): Promise<boolean> {
  await using file = await readGguf(path);
  return isDflash(file) || isAssistant(file) || hasMtpBlock(file);
}
