/**
 * Removes models from Hugging Face's cache and from our own folder, with the drafters that belong to
 * nothing else and the aliases that would lead nowhere. A blob goes when no snapshot uses it any more;
 * files of other kinds in the same repository stay, whoever put them there. What other programs keep
 * in folders of their own is refused.
 */
import { lstat, readdir, readlink, realpath, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { writeError } from '../base/files.js';
import { hostMemory } from '../ggml/host.js';
import { CachedRepository, entriesOf } from './cache.js';
import type { HubEnvironment } from './environment.js';
import { chooseModel, modelsOf, quantOf } from './gguf-files.js';
import { locateModel, snapshotsOf, uncheckedTarget, urlTarget } from './locate.js';
import {
  formatHubName,
  type HubName,
  type ModelName,
  mainRevision,
  parseModelName,
} from './names.js';
import { type OtherOptions, otherModels } from './others.js';
import { partialLabel, partialSuffix, removePartial } from './partial.js';
import { aliasTarget, changeSettings, type ModelSettings } from './settings.js';

export interface Removal {
  /** Keys of the models and drafters that go. */
  readonly keys: readonly string[];
  /** Links and files of snapshots, or files of our own folder. */
  readonly pointers: readonly string[];
  /** Blobs that nothing else uses. */
  readonly blobs: readonly string[];
  readonly partials: readonly string[];
  /** Repositories in the cache that are touched. */
  readonly repositories: readonly CachedRepository[];
  /** Bytes that become free. */
  readonly bytes: number;
  readonly aliases: readonly string[];
}

export interface RemoveOptions extends OtherOptions {
  readonly environment: Pick<HubEnvironment, 'cache'>;
  readonly settings: ModelSettings;
  readonly settingsPath?: string | undefined;
}

/**
 * What removing a model would mean. A name of the hub without quantisation or file means all models of
 * the repository.
 * @throws {PacelineError} `model-not-found` when there is no such model, `usage` for files that are not
 *   ours to remove and for ambiguous names.
 */
export async function planRemoval(text: string, options: RemoveOptions): Promise<Removal> {
  let name = parseModelName(text);
  let alias: string | undefined;
  if (name.kind === 'alias') {
    const target = aliasTarget(options.settings, name.name);
    if (target !== undefined) alias = name.name;
    name = target === undefined ? { kind: 'path', path: text } : parseModelName(target);
  }
  const aliases = alias === undefined ? [] : [alias];
  if (name.kind === 'url') return urlRemoval(name.url, aliases, options);
  if (name.kind === 'hub') return hubRemoval(name, text, aliases, options);
  throw await notOurs(name, text, options);
}

async function notOurs(
  name: Exclude<ModelName, { kind: 'hub' | 'url' }>,
  text: string,
  options: RemoveOptions,
): Promise<PacelineError> {
  if (name.kind === 'default') {
    return new PacelineError('usage', 'The embedded model is a part of Paceline', {
      hint: 'It goes when the package is uninstalled.',
    });
  }
  const located = await locateModel(text, options).catch(() => undefined);
  const path = located !== undefined && 'path' in located ? located.path : text;
  const other = (await otherModels(options)).find(
    ({ name: label, model }) => label === text || model.files.some((f) => f.pointer === path),
  );
  if (other !== undefined) {
    const program = other.source === 'ollama' ? 'Ollama' : 'LM Studio';
    const how = other.source === 'ollama' ? `\`ollama rm ${other.name}\`` : 'that program';
    return new PacelineError('usage', `${text} belongs to ${program}`, {
      hint: `Remove it with ${how}.`,
      details: { path },
    });
  }
  const there = await lstat(path).then(
    () => true,
    () => false,
  );
  if (!there) {
    return new PacelineError('model-not-found', `There is no model ${text}`, {
      hint: '`paceline ls` lists those that are here.',
      details: { model: text },
    });
  }
  return new PacelineError('usage', `${path} was not pulled by Paceline`, {
    hint:
      aliasTarget(options.settings, text) === undefined
        ? 'Delete the file yourself; `paceline rm` removes what was pulled.'
        : `Delete the file yourself; \`paceline rm ${text} --keep-files\` forgets the name.`,
    details: { path },
  });
}

async function urlRemoval(
  url: URL,
  aliases: readonly string[],
  options: RemoveOptions,
): Promise<Removal> {
  const path = urlTarget(url);
  const unchecked = `${uncheckedTarget(path)}${partialSuffix}`;
  const bytes = await sizeOf(path);
  const partial = await sizeOf(unchecked);
  if (bytes === undefined && partial === undefined) throw notHere(url.href);
  return {
    keys: [url.href],
    pointers: bytes === undefined ? [] : [path],
    blobs: [],
    partials: partial === undefined ? [] : [unchecked],
    repositories: [],
    bytes: (bytes ?? 0) + (partial ?? 0),
    aliases: [...new Set([...aliases, ...targeting([url.href], options.settings)])],
  };
}

function notHere(text: string): PacelineError {
  return new PacelineError('model-not-found', `${text} is not on this machine`, {
    hint: '`paceline ls` lists the models that are here.',
    details: { model: text },
  });
}

async function hubRemoval(
  name: HubName,
  text: string,
  aliases: readonly string[],
  options: RemoveOptions,
): Promise<Removal> {
  const cached = new CachedRepository(options.environment.cache, name.repository);
  if (name.revision !== mainRevision && (await cached.commitOf(name.revision)) === undefined) {
    throw notHere(text);
  }
  const paths = await pathsOf(name, options);
  const keys = [...paths].map((path) => formatHubName({ ...name, selector: path }));
  // A drafter goes with its model, unless it was named itself or another model has it.
  const { drafters } = options.settings;
  const kept = Object.entries(drafters).filter(([key]) => !keys.includes(key));
  const orphans = keys
    .flatMap((key) => drafters[key] ?? [])
    .filter((drafter) => !kept.some(([, others]) => others.includes(drafter)));
  const wanted = new Map<string, Set<string>>([[name.repository, paths]]);
  for (const key of orphans) {
    const drafter = parseModelName(key);
    if (drafter.kind !== 'hub' || drafter.selector === undefined) continue;
    const known = wanted.get(drafter.repository) ?? new Set();
    wanted.set(drafter.repository, known.add(drafter.selector));
  }
  const parts = await Promise.all(
    [...wanted].map(([repository, selected]) =>
      repositoryRemoval(
        new CachedRepository(options.environment.cache, repository),
        selected,
        repository === name.repository ? name : { revision: mainRevision, selector: '' },
      ),
    ),
  );
  const all = <K extends 'pointers' | 'blobs' | 'partials'>(key: K) => parts.flatMap((p) => p[key]);
  const pointers = all('pointers');
  const partials = all('partials');
  if (pointers.length === 0 && partials.length === 0) throw notHere(text);
  const gone = [...keys, ...orphans];
  return {
    keys: gone,
    pointers,
    blobs: all('blobs'),
    partials,
    repositories: parts.map(({ repository }) => repository),
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    aliases: [...new Set([...aliases, ...(await leadingTo(pointers, options))])],
  };
}

/** Paths in the repository of the models that a name means. */
async function pathsOf(name: HubName, { environment }: RemoveOptions): Promise<Set<string>> {
  const cached = new CachedRepository(environment.cache, name.repository);
  const paths = new Set<string>();
  let missing: PacelineError | undefined;
  for (const { files } of await snapshotsOf(cached, name.revision)) {
    const models = modelsOf(files);
    if (name.selector === undefined) {
      // All GGUF files, those too that are parts of an incomplete model.
      for (const { path } of files) paths.add(path);
      continue;
    }
    try {
      const { model } = chooseModel(models, name.selector, name.repository, hostMemory());
      for (const { path } of model.files) paths.add(path);
    } catch (error) {
      if (!PacelineError.is(error) || error.code !== 'model-not-found') throw error;
      missing ??= error;
    }
  }
  const unfinished = await partialsOf(cached, paths, name);
  if (paths.size === 0 && missing !== undefined && unfinished.length === 0) throw missing;
  return paths;
}

/** Unfinished downloads of these paths, or of all where the name means the whole repository. */
async function partialsOf(
  cached: CachedRepository,
  paths: ReadonlySet<string>,
  { selector }: Pick<HubName, 'selector'>,
): Promise<string[]> {
  const found: string[] = [];
  for (const name of await entriesOf(cached.blobs)) {
    if (!name.endsWith(partialSuffix)) continue;
    const label = await partialLabel(cached.blob(name));
    const named =
      label !== undefined &&
      (paths.has(label) ||
        [label.toLowerCase(), quantOf(label)?.toLowerCase()].includes(selector?.toLowerCase()));
    if (selector === undefined || named) found.push(cached.blob(name));
  }
  return found;
}

interface RepositoryRemoval {
  readonly repository: CachedRepository;
  readonly pointers: readonly string[];
  readonly blobs: readonly string[];
  readonly partials: readonly string[];
  readonly bytes: number;
}

async function repositoryRemoval(
  repository: CachedRepository,
  paths: ReadonlySet<string>,
  name: Pick<HubName, 'revision' | 'selector'>,
): Promise<RepositoryRemoval> {
  const folder = join(repository.folder, 'snapshots');
  const commit =
    name.revision === mainRevision ? undefined : await repository.commitOf(name.revision);
  const pointers: string[] = [];
  const blobs = new Set<string>();
  const used = new Set<string>();
  let bytes = 0;
  for (const snapshot of await entriesOf(folder)) {
    const root = join(folder, snapshot);
    const entries = await readdir(root, { recursive: true }).catch(() => [] as string[]);
    for (const entry of entries) {
      const pointer = join(root, entry);
      const facts = await lstat(pointer);
      if (facts.isDirectory()) continue;
      const blob = facts.isSymbolicLink() ? await blobOf(repository, pointer) : undefined;
      const goes =
        paths.has(entry.split(sep).join('/')) && (commit === undefined || commit === snapshot);
      if (goes) {
        pointers.push(pointer);
        if (blob !== undefined) blobs.add(blob);
        else if (facts.isFile()) bytes += facts.size;
      } else if (blob !== undefined) {
        used.add(blob);
      }
    }
  }
  const freed = [...blobs].filter((blob) => !used.has(blob));
  const partials = await partialsOf(repository, paths, name);
  // A blob that is itself a link, into the store that several repositories share, frees nothing.
  for (const path of [...freed, ...partials]) bytes += (await sizeOf(path)) ?? 0;
  return { repository, pointers, blobs: freed, partials, bytes };
}

/** The blob in the repository's own folder that a link leads to. */
async function blobOf(repository: CachedRepository, pointer: string): Promise<string | undefined> {
  const target = resolve(dirname(pointer), await readlink(pointer));
  // The folder itself may be reached through links.
  const [folder, blobs] = await Promise.all([
    realpath(dirname(target)).catch(() => dirname(target)),
    realpath(repository.blobs).catch(() => repository.blobs),
  ]);
  return folder === blobs ? join(repository.blobs, basename(target)) : undefined;
}

/** Bytes of a file that removing it frees; undefined when there is none. */
async function sizeOf(path: string): Promise<number | undefined> {
  return lstat(path).then(
    (facts) => (facts.isFile() ? Math.min(facts.size, facts.blocks * 512 || facts.size) : 0),
    () => undefined,
  );
}

/** Aliases that lead to files that go. */
async function leadingTo(pointers: readonly string[], options: RemoveOptions): Promise<string[]> {
  const found: string[] = [];
  for (const alias of Object.keys(options.settings.aliases)) {
    const located = await locateModel(alias, options).catch(() => undefined);
    if (located !== undefined && 'path' in located && pointers.includes(located.path)) {
      found.push(alias);
    }
  }
  return found;
}

function targeting(names: readonly string[], { aliases }: ModelSettings): string[] {
  return Object.keys(aliases).filter((alias) => names.includes(aliases[alias] ?? ''));
}

/**
 * Removes what was planned.
 * @throws {PacelineError} `io` when something can't be removed; what was removed before stays removed.
 */
export async function remove(removal: Removal, options: RemoveOptions): Promise<void> {
  for (const path of [...removal.pointers, ...removal.blobs]) {
    await rm(path, { force: true }).catch((error: unknown) => {
      throw writeError(path, error);
    });
  }
  for (const path of removal.partials) await removePartial(path);
  for (const repository of removal.repositories) await tidy(repository);
  const gone = new Set(removal.keys);
  await changeSettings(
    ({ aliases, drafters }) => ({
      aliases: without(aliases, (alias) => removal.aliases.includes(alias)),
      drafters: Object.fromEntries(
        Object.entries(without(drafters, (key) => gone.has(key)))
          .map(([key, names]) => [key, names.filter((name) => !gone.has(name))] as const)
          .filter(([, names]) => names.length > 0),
      ),
    }),
    options.settingsPath,
  );
}

/** Removes an alias and leaves the files. @throws {PacelineError} `model-not-found`. */
export async function removeAlias(alias: string, settingsPath?: string): Promise<void> {
  await changeSettings((settings) => {
    if (aliasTarget(settings, alias) === undefined) throw notHere(alias);
    return { ...settings, aliases: without(settings.aliases, (name) => name === alias) };
  }, settingsPath);
}

function without<T>(
  record: Readonly<Record<string, T>>,
  goes: (key: string) => boolean,
): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => !goes(key)));
}

/** Empty folders, refs to snapshots that are gone, and in the end the repository itself. */
async function tidy(repository: CachedRepository): Promise<void> {
  const snapshots = join(repository.folder, 'snapshots');
  for (const commit of await entriesOf(snapshots)) await removeEmpty(join(snapshots, commit));
  const left = await entriesOf(snapshots);
  if (left.length === 0) {
    // A pull that is going on, of us or of another tool, has its partial file here.
    const busy = (await entriesOf(repository.blobs)).some((name) => name.endsWith('.incomplete'));
    if (!busy) await rm(repository.folder, { recursive: true, force: true });
    return;
  }
  const refs = join(repository.folder, 'refs');
  for (const name of await readdir(refs, { recursive: true }).catch(() => [] as string[])) {
    const ref = name.split(sep).join('/');
    const commit = await repository.commitOf(ref);
    if (commit !== undefined && !left.includes(commit)) await rm(join(refs, name), { force: true });
  }
}

/** Removes a folder if nothing but empty folders is in it. */
async function removeEmpty(folder: string): Promise<void> {
  const facts = await lstat(folder);
  if (!facts.isDirectory()) return;
  for (const name of await entriesOf(folder)) await removeEmpty(join(folder, name));
  await rmdir(folder).catch(() => {});
}
