/**
 * The models on this machine, with what their headers say: those in Hugging Face's cache (whoever put
 * them there), those from plain addresses, files with an alias, and on demand those of other programs.
 * A file that can't be read is listed with what is wrong with it.
 */
import { stat, utimes } from 'node:fs/promises';
import { basename, dirname, relative, sep } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { readGguf } from '../gguf/reader.js';
import { type GgufSummary, summarize } from '../gguf/summary.js';
import {
  type CachedFile,
  CachedRepository,
  cachedRepositories,
  entriesOf,
  ggufFiles,
} from './cache.js';
import type { HubEnvironment } from './environment.js';
import { type DrafterKind, type ModelFiles, modelsOf, quantOf, selectorOf } from './gguf-files.js';
import { locateModel, urlFolder } from './locate.js';
import { formatHubName, parseModelName } from './names.js';
import { type OtherModel, type OtherOptions, otherModels } from './others.js';
import { partialLabel, partialSuffix } from './partial.js';
import { type ModelSettings, rememberedDrafters } from './settings.js';

export interface ListedModel {
  /** What to give to other commands: a name of the hub, an address, or a path. */
  readonly name: string;
  /** What another program calls it. */
  readonly otherName: string | undefined;
  readonly aliases: readonly string[];
  readonly source: 'hub' | 'url' | 'path' | 'ollama' | 'lm-studio';
  /** How drafters are remembered of it. */
  readonly key: string;
  readonly path: string;
  readonly bytes: number;
  readonly parts: number;
  readonly quant: string | undefined;
  readonly lastUsed: Date;
  /** Of which kind of drafter the file is by its name. */
  readonly drafter: DrafterKind | undefined;
  /** Names of the drafters that are remembered of it. */
  readonly drafters: readonly string[];
  /** What the header says; undefined when it can't be read. */
  readonly summary: GgufSummary | undefined;
  /** Why the header can't be read. */
  readonly problem: string | undefined;
}

export interface ListOptions extends OtherOptions {
  readonly environment: Pick<HubEnvironment, 'cache'>;
  readonly settings: ModelSettings;
  /** Other programs' models too. */
  readonly all?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

type Found = Pick<ListedModel, 'name' | 'otherName' | 'source' | 'key'> & {
  readonly model: ModelFiles<CachedFile>;
};

/** All models, the last used first, and then drafters. @throws {PacelineError} `aborted`. */
export async function listModels(options: ListOptions): Promise<ListedModel[]> {
  const found = await findModels(options);
  const aliases = await aliasesByPath(options);
  const listed: ListedModel[] = [];
  for (const one of found) listed.push(await describe(one, aliases, options));
  const rank = ({ drafter }: ListedModel): number => (drafter === undefined ? 0 : 1);
  return listed.sort((a, b) => rank(a) - rank(b) || b.lastUsed.getTime() - a.lastUsed.getTime());
}

/** The listed model that a file belongs to; any file is one, with what its header says. */
export async function describeFile(path: string, options: ListOptions): Promise<ListedModel> {
  const found = await findModels({ ...options, all: true });
  const known = found.find(({ model }) => model.files.some(({ pointer }) => pointer === path));
  return describe(known ?? (await plainFile(path)), await aliasesByPath(options), options);
}

/** Where models are, without a look into their files. */
async function findModels(options: ListOptions): Promise<Found[]> {
  return [
    ...(await hubModels(options.environment.cache)),
    ...(await urlModels()),
    ...(await aliasedFiles(options.settings)),
    ...(options.all === true ? (await otherModels(options)).map(foreign) : []),
  ];
}

async function describe(
  { model, ...found }: Found,
  aliases: ReadonlyMap<string, readonly string[]>,
  { settings, signal }: ListOptions,
): Promise<ListedModel> {
  const path = model.files[0]?.pointer ?? '';
  const ours = found.source === 'hub' || found.source === 'url';
  const { summary, problem } = await headerOf(path, ours, signal);
  return {
    ...found,
    aliases: aliases.get(path) ?? [],
    path,
    bytes: model.bytes,
    parts: model.files.length,
    quant: model.quant ?? summary?.types[0]?.type.toUpperCase(),
    lastUsed: new Date(Math.max(...model.files.map(({ lastUsed }) => lastUsed.getTime()))),
    drafter: model.drafter,
    drafters: rememberedDrafters(settings, found.key),
    summary,
    problem,
  };
}

/**
 * What a header says. Reading may move a file's time of access, which is where the last use is kept, so
 * that is set back where the file is `ours`.
 */
async function headerOf(
  path: string,
  ours: boolean,
  signal: AbortSignal | undefined,
): Promise<Pick<ListedModel, 'summary' | 'problem'>> {
  const before = ours ? await stat(path).catch(() => undefined) : undefined;
  try {
    await using file = await readGguf(path, { signal });
    return { summary: summarize(file), problem: undefined };
  } catch (error) {
    if (!PacelineError.is(error) || error.code === 'aborted') throw error;
    return { summary: undefined, problem: error.message };
  } finally {
    if (before !== undefined) await utimes(path, before.atime, before.mtime).catch(() => {});
  }
}

async function hubModels(cache: string): Promise<Found[]> {
  const found: Found[] = [];
  for (const repository of await cachedRepositories(cache)) {
    const seen = new Set<string>();
    const main = await new CachedRepository(cache, repository).commitOf('main');
    const snapshots = await new CachedRepository(cache, repository).snapshots();
    for (const [index, { commit, files }] of snapshots.entries()) {
      const models = modelsOf(files);
      for (const model of models) {
        // The same bytes in an older snapshot are the same model.
        const blobs = model.files.map(({ blob }) => blob).join('\n');
        if (seen.has(blobs)) continue;
        seen.add(blobs);
        // Which one a name without a revision means is decided by `locate.ts` in this order, too.
        const current = commit === main || (main === undefined && index === 0);
        const hub = { repository, revision: current ? 'main' : commit };
        found.push({
          name: formatHubName({ ...hub, selector: selectorOf(models, model) }),
          otherName: undefined,
          source: 'hub',
          key: formatHubName({ repository, selector: model.path }),
          model,
        });
      }
    }
  }
  return found;
}

async function urlModels(): Promise<Found[]> {
  const folder = urlFolder();
  const files = await ggufFiles(folder);
  return files.map((file) => ({
    name: file.pointer,
    otherName: `https://${relative(folder, file.pointer).split(sep).join('/')}`,
    source: 'url',
    key: file.pointer,
    model: single(file),
  }));
}

/** Files elsewhere that have an alias. */
async function aliasedFiles({ aliases }: ModelSettings): Promise<Found[]> {
  const paths = new Set(
    Object.values(aliases).filter((target) => parseModelName(target).kind === 'path'),
  );
  const found: Found[] = [];
  for (const path of paths) {
    try {
      found.push(await plainFile(path));
    } catch {
      // The file is gone; the alias says so when it is used.
    }
  }
  return found;
}

async function plainFile(path: string): Promise<Found> {
  const files = await ggufFiles(dirname(path));
  const model = modelsOf(files).find((one) => one.files.some(({ pointer }) => pointer === path));
  if (model !== undefined) {
    return { name: path, otherName: undefined, source: 'path', key: path, model };
  }
  const { size, atimeMs, mtimeMs } = await stat(path);
  const lastUsed = new Date(Math.max(atimeMs, mtimeMs));
  const file = { path: basename(path), pointer: path, blob: path, size, lastUsed };
  return { name: path, otherName: undefined, source: 'path', key: path, model: single(file) };
}

function single(file: CachedFile): ModelFiles<CachedFile> {
  const { path, size } = file;
  return { path, files: [file], bytes: size, quant: quantOf(path), drafter: undefined };
}

function foreign({ name, source, model }: OtherModel): Found {
  const path = model.files[0]?.pointer ?? '';
  return { name: path, otherName: name, source, key: path, model };
}

/** Aliases by the file that they lead to. */
async function aliasesByPath(options: ListOptions): Promise<Map<string, string[]>> {
  const byPath = new Map<string, string[]>();
  for (const alias of Object.keys(options.settings.aliases).sort()) {
    const located = await locateModel(alias, options).catch(() => undefined);
    if (located === undefined || !('path' in located)) continue;
    byPath.set(located.path, [...(byPath.get(located.path) ?? []), alias]);
  }
  return byPath;
}

/** Downloads that were interrupted: what they are of, and the bytes that they hold on the disk. */
export async function unfinishedDownloads(
  cache: string,
): Promise<{ name: string; bytes: number }[]> {
  const found: { name: string; bytes: number }[] = [];
  for (const repository of await cachedRepositories(cache)) {
    const cached = new CachedRepository(cache, repository);
    for (const name of await entriesOf(cached.blobs)) {
      if (!name.endsWith(partialSuffix)) continue;
      const selector = await partialLabel(cached.blob(name));
      const facts = await stat(cached.blob(name)).catch(() => undefined);
      if (selector === undefined || facts === undefined) continue;
      // Written in pieces: what is not there takes no room.
      const bytes = Math.min(facts.size, facts.blocks * 512);
      // As where the hub refused the first byte.
      if (bytes === 0) continue;
      found.push({ name: formatHubName({ repository, selector }), bytes });
    }
  }
  return found;
}
