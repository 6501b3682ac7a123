/**
 * Models that other programs keep: Ollama's and LM Studio's folders. Read only: nothing here writes,
 * and what is read is checked like anybody's.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type CachedFile, entriesOf, ggufFiles } from './cache.js';
import { type ModelFiles, modelsOf, quantOf } from './gguf-files.js';

export interface OtherModel {
  /** As that program calls it. */
  readonly name: string;
  readonly source: 'ollama' | 'lm-studio';
  readonly model: ModelFiles<CachedFile>;
}

export interface OtherOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly home?: string;
}

const mostManifestBytes = 2 ** 20;
const mostManifests = 10_000;

/** All models of other programs that are found; none where there are no such programs. */
export async function otherModels(options: OtherOptions = {}): Promise<OtherModel[]> {
  const { env = process.env, home = homedir() } = options;
  const [ollama, lmStudio] = await Promise.all([ollamaModels(env, home), lmStudioModels(home)]);
  return [...ollama, ...lmStudio];
}

/**
 * Ollama keeps manifests at `manifests/<host>/<owner>/<model>/<tag>` whose layers name blobs; the layer
 * `application/vnd.ollama.image.model` is a GGUF file, at `blobs/sha256-<hex>`.
 */
async function ollamaModels(
  env: Readonly<Record<string, string | undefined>>,
  home: string,
): Promise<OtherModel[]> {
  const roots = env.OLLAMA_MODELS
    ? [env.OLLAMA_MODELS]
    : [join(home, '.ollama', 'models'), '/usr/share/ollama/.ollama/models'];
  const found: OtherModel[] = [];
  for (const root of roots) {
    const manifests = join(root, 'manifests');
    const names = await readdir(manifests, { recursive: true }).catch(() => [] as string[]);
    for (const name of names.slice(0, mostManifests).sort()) {
      const parts = name.split(/[/\\]/);
      const [, owner, model, tag] = parts;
      if (parts.length !== 4 || tag === undefined) continue;
      const blob = await modelBlob(join(manifests, name), join(root, 'blobs'));
      if (blob === undefined) continue;
      const label = `${owner === 'library' ? '' : `${owner}/`}${model}:${tag}`;
      const files = [blob];
      const quant = quantOf(`${tag}.gguf`);
      found.push({
        name: label,
        source: 'ollama',
        model: { path: label, files, bytes: blob.size, quant, drafter: undefined },
      });
    }
  }
  return found;
}

async function modelBlob(manifest: string, blobs: string): Promise<CachedFile | undefined> {
  try {
    const facts = await stat(manifest);
    if (!facts.isFile() || facts.size > mostManifestBytes) return undefined;
    const { layers } = JSON.parse(await readFile(manifest, 'utf8')) as { layers?: unknown };
    if (!Array.isArray(layers)) return undefined;
    for (const layer of layers as { mediaType?: unknown; digest?: unknown }[]) {
      if (layer?.mediaType !== 'application/vnd.ollama.image.model') continue;
      const [, hash] = /^sha256:([0-9a-f]{64})$/.exec(String(layer.digest)) ?? [];
      if (hash === undefined) return undefined;
      const path = join(blobs, `sha256-${hash}`);
      const { size, atimeMs, mtimeMs } = await stat(path);
      const lastUsed = new Date(Math.max(atimeMs, mtimeMs));
      return { path, pointer: path, blob: path, size, lastUsed };
    }
  } catch {
    // A manifest that can't be read, or whose blob is gone: Ollama would not run it either.
  }
  return undefined;
}

/** LM Studio keeps plain files at `models/<publisher>/<repository>/<file>.gguf`. */
async function lmStudioModels(home: string): Promise<OtherModel[]> {
  const pointer = await readFile(join(home, '.lmstudio-home-pointer'), 'utf8').catch(() => '');
  const homes = new Set([
    ...(pointer.trim() === '' ? [] : [pointer.trim()]),
    join(home, '.lmstudio'),
    join(home, '.cache', 'lm-studio'),
  ]);
  const found: OtherModel[] = [];
  for (const folder of homes) {
    const models = join(folder, 'models');
    for (const publisher of await entriesOf(models)) {
      for (const repository of await entriesOf(join(models, publisher))) {
        const files = await ggufFiles(join(models, publisher, repository));
        for (const model of modelsOf(files)) {
          const name = `${publisher}/${repository}/${model.path}`;
          found.push({ name, source: 'lm-studio', model });
        }
      }
    }
  }
  return found;
}
