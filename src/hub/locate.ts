/**
 * What a model's name stands for on this machine: a file, and the drafters that are remembered of it.
 * Looks at the disk only; what is not here is pulled by `pull.ts`. Files that other programs fetched
 * into Hugging Face's cache are found like our own.
 */
import { stat, utimes } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { dataFolder, defaultModelPath } from '../base/paths.js';
import { hostMemory } from '../ggml/host.js';
import { type CachedFile, CachedRepository, type Snapshot } from './cache.js';
import type { HubEnvironment } from './environment.js';
import { chooseModel, type ModelFiles, modelsOf, type Room } from './gguf-files.js';
import {
  formatHubName,
  type HubName,
  type ModelName,
  mainRevision,
  parseModelName,
  pathProblem,
} from './names.js';
import { aliasTarget, type ModelSettings, rememberedDrafters } from './settings.js';

/** A model that is here. */
export interface FoundModel {
  /** Of the file or the first part. */
  readonly path: string;
  /** How drafters are remembered of it: `hf:owner/repo:file.gguf`, an address, a path. */
  readonly key: string;
  /** Files of remembered drafters that are here too. */
  readonly drafters: readonly string[];
}

/** A model that is not here and could be pulled. */
export interface MissingModel {
  readonly name: Extract<ModelName, { kind: 'hub' | 'url' }>;
  /** As the user would write it. */
  readonly text: string;
}

export interface LocateOptions {
  readonly environment: Pick<HubEnvironment, 'cache'>;
  readonly settings: ModelSettings;
  /** Injected by tests. */
  readonly room?: Room | undefined;
}

/**
 * The model that a name means, or what would have to be pulled.
 * @throws {PacelineError} `usage` for malformed or ambiguous names. Paths are not looked at: opening
 *   them says best what is wrong.
 */
export async function locateModel(
  text: string,
  options: LocateOptions,
): Promise<FoundModel | MissingModel> {
  const { settings, environment } = options;
  let name = parseModelName(text);
  if (name.kind === 'alias') {
    const target = aliasTarget(settings, name.name);
    name = target === undefined ? { kind: 'path', path: text } : parseModelName(target);
    // An alias of an alias can't be written by us; as a path it is not found, with a clear message.
    if (name.kind === 'alias') name = { kind: 'path', path: name.name };
  }
  switch (name.kind) {
    case 'default':
      return { path: defaultModelPath(), key: 'default', drafters: [] };
    case 'path': {
      const path = resolve(name.path);
      return withDrafters({ path, key: path }, options);
    }
    case 'url': {
      const path = urlTarget(name.url);
      if (!(await isFile(path))) return { name, text: name.url.href };
      return withDrafters({ path, key: name.url.href }, options);
    }
    case 'hub': {
      const found = await locateHubModel(name, environment.cache, options.room ?? hostMemory());
      if (found === undefined) return { name, text: formatHubName(name) };
      const key = formatHubName({ ...name, selector: found.path });
      return withDrafters({ path: found.files[0]?.pointer ?? '', key }, options);
    }
  }
}

async function withDrafters(
  found: Omit<FoundModel, 'drafters'>,
  options: LocateOptions,
): Promise<FoundModel> {
  const drafters: string[] = [];
  for (const drafter of rememberedDrafters(options.settings, found.key)) {
    const settings = { ...options.settings, drafters: {} };
    const located = await locateModel(drafter, { ...options, settings });
    if ('path' in located) drafters.push(located.path);
  }
  return { ...found, drafters };
}

/** Snapshots of a revision that are here, the wanted one first. */
export async function snapshotsOf(cached: CachedRepository, revision: string): Promise<Snapshot[]> {
  const snapshots = await cached.snapshots();
  const commit = await cached.commitOf(revision);
  const wanted = snapshots.filter((snapshot) => snapshot.commit === commit);
  // An unfinished pull, or another tool, may have moved the branch past what is here.
  return revision === mainRevision
    ? [...wanted, ...snapshots.filter((s) => s.commit !== commit)]
    : wanted;
}

/** The cached model that a name means; undefined when it is not here. @throws as `chooseModel`. */
async function locateHubModel(
  name: HubName,
  cache: string,
  room: Room,
): Promise<ModelFiles<CachedFile> | undefined> {
  const cached = new CachedRepository(cache, name.repository);
  for (const { files } of await snapshotsOf(cached, name.revision)) {
    const models = modelsOf(files);
    if (name.selector === undefined && !models.some(({ drafter }) => drafter === undefined))
      continue;
    try {
      return chooseModel(models, name.selector, name.repository, room).model;
    } catch (error) {
      if (PacelineError.is(error) && error.code === 'model-not-found') continue;
      // Too large for the rule of thumb, yet here: somebody wanted it.
      const [only] = models;
      if (PacelineError.is(error) && error.code === 'memory' && only !== undefined) {
        return models.reduce((a, b) => (a.bytes <= b.bytes ? a : b));
      }
      throw error;
    }
  }
  return undefined;
}

/** The file that a model from a plain address becomes. @throws {PacelineError} `usage`. */
export function urlTarget(url: URL): string {
  const path = decodeURIComponent(url.pathname).replace(/^\/+/, '');
  const problem = pathProblem(path);
  if (problem !== undefined) {
    throw new PacelineError('usage', `The address ${url.href} can't become a file: ${problem}`, {
      hint: 'Download the file yourself and give its path.',
    });
  }
  return join(urlFolder(), url.host.replace(':', '_'), ...path.split('/'));
}

/** What such a file is called until it has proved to be a model: there is no hash to check it by. */
export function uncheckedTarget(target: string): string {
  return `${target}.unchecked`;
}

/** The folder of models from plain addresses. */
export function urlFolder(): string {
  return join(dataFolder(), 'models');
}

function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (facts) => facts.isFile(),
    () => false,
  );
}

/**
 * Notes that a model is used now, in its file's time of access, where `ls` and Hugging Face's tools look.
 * Best effort: a file that others own stays as it is.
 */
export async function touchModel(path: string, now: Date = new Date()): Promise<void> {
  try {
    await utimes(path, now, (await stat(path)).mtime);
  } catch {}
}
