/**
 * One model's folder of the store: which blocks it holds, read from names and headers, never from
 * payloads. What is not right is set aside and reported, not used and not fatal. Several processes
 * may work in a folder at once: files appear whole under names that say what they hold, and may go at
 * any time.
 */
import { chmod, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomically } from '../../base/files.js';
import { BadBlock, type BlockKind, blockKinds, type ReadHeader, readHeader } from './block-file.js';
import { BlockIndex, type Entry } from './index.js';
import { isName } from './names.js';
import { readUses } from './use-log.js';

const infoSchema = z.object({
  /** The model's name or path, for people. */
  model: z.string(),
  architecture: z.string(),
  /** Element type of keys and values. */
  kvType: z.string(),
  blockTokens: z.number().int().min(64),
});

/** What a folder says about its model. */
export type ModelInfoFile = z.output<typeof infoSchema>;

export interface ModelFolderOptions {
  /** The store's folder. */
  readonly root: string;
  /** `rootName` of the model. */
  readonly key: string;
  readonly info: ModelInfoFile;
  /** Called once for each file that was set aside. */
  readonly onBroken: (path: string, why: string) => void;
}

const folderMode = 0o700;
export const fileMode = 0o600;
const infoName = 'model.json';
/** Temporary files of processes that are no more, and of other machines after so long. */
const staleMs = 3_600_000;
/** Files whose headers are read at once. */
const atOnce = 16;

/** Folder of all models' folders: it names the format, so that other versions keep out of the way. */
export function modelsFolder(root: string): string {
  return join(root, 'v1');
}

/** Where broken files go. */
export function brokenFolder(root: string): string {
  return join(root, 'broken');
}

export class ModelFolder {
  readonly path: string;
  readonly index: BlockIndex;
  readonly info: ModelInfoFile;
  readonly #options: ModelFolderOptions;
  /** Time of the folder's last change that was seen. */
  #seen = -1;
  #scan: Promise<void> | undefined;

  constructor(options: ModelFolderOptions) {
    this.#options = options;
    this.info = options.info;
    this.path = join(modelsFolder(options.root), options.key);
    this.index = new BlockIndex(options.key, options.info.blockTokens);
  }

  /** Opens a folder that is there; undefined when it does not say whose it is. */
  static async read(options: Omit<ModelFolderOptions, 'info'>): Promise<ModelFolder | undefined> {
    const info = await readInfo(join(modelsFolder(options.root), options.key, infoName));
    if (info === undefined) return undefined;
    const folder = new ModelFolder({ ...options, info });
    await folder.refresh();
    return folder;
  }

  /** Makes the folder, for this user only. @throws what the system does. */
  async create(): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: folderMode });
    await chmod(this.path, folderMode);
    const file = join(this.path, infoName);
    if ((await readInfo(file)) !== undefined) return;
    const bytes = Buffer.from(`${JSON.stringify(this.info)}\n`);
    await writeFileAtomically(file, (sink) => sink.write(bytes), { mode: fileMode });
  }

  pathOf({ kind, name }: Pick<Entry, 'kind' | 'name'>): string {
    return join(this.path, `${name}.${kind}`);
  }

  /** Takes note of what other processes have written and removed since the last time. */
  refresh(): Promise<void> {
    this.#scan ??= this.#refresh().finally(() => {
      this.#scan = undefined;
    });
    return this.#scan;
  }

  async #refresh(): Promise<void> {
    let names: string[];
    try {
      const { mtimeMs } = await stat(this.path);
      if (mtimeMs === this.#seen) return;
      names = await readdir(this.path);
      // A change within the clock's step must not go unseen.
      this.#seen = Date.now() - mtimeMs > 2000 ? mtimeMs : -1;
    } catch {
      names = [];
      this.#seen = -1;
    }
    const present = new Set(names);
    for (const entry of [...this.index.entries()]) {
      const { kind, name, staged } = entry;
      if (!present.has(`${name}.${kind}`) && staged === undefined) this.index.remove(entry);
    }
    const unknown = names.filter((name) => !this.#knows(name));
    const next = unknown[Symbol.iterator]();
    const work = async (): Promise<void> => {
      for (const name of next) await this.#take(name);
    };
    const fresh = this.index.size === 0;
    await Promise.all(Array.from({ length: atOnce }, work));
    if (fresh) await this.#countHits();
  }

  #knows(file: string): boolean {
    const parsed = parseName(file);
    return parsed !== undefined && this.index.get(parsed.kind, parsed.name) !== undefined;
  }

  /** Takes a file of the folder into the index, sets it aside, or leaves it alone. */
  async #take(file: string): Promise<void> {
    if (file === infoName || file === 'uses.jsonl') return;
    const path = join(this.path, file);
    if (file.endsWith('.part')) return removeStale(path);
    const parsed = parseName(file);
    if (parsed === undefined) return this.setAside(path, 'it is no file of the store');
    try {
      const handle = await open(path, 'r');
      try {
        const found = await readHeader(handle, parsed.kind, parsed.name);
        const { mtimeMs } = await handle.stat();
        this.#add(parsed, found, mtimeMs);
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (error instanceof BadBlock) await this.setAside(path, error.message);
      // Whatever cannot be opened now is as good as not there.
    }
  }

  #add(
    { kind, name }: { kind: BlockKind; name: string },
    { header, bytes }: ReadHeader,
    lastUse: number,
  ): void {
    if (this.index.get(kind, name) !== undefined) return;
    this.index.add({ kind, name, header, bytes, lastUse, hits: 0, pins: 0 });
  }

  /** Adds the uses of the past to the blocks that they used, and to those before. */
  async #countHits(): Promise<void> {
    for (const { block, time } of await readUses(this.path)) {
      this.markUsed(this.index.get('rows', block), time);
    }
  }

  /** Counts a use of a block and of those before it. */
  markUsed(last: Entry | undefined, time: number): void {
    for (let entry = last; entry !== undefined; entry = this.index.parent(entry)) {
      entry.hits++;
      entry.lastUse = Math.max(entry.lastUse, time);
    }
  }

  /** Takes a file out of use, and says so. */
  async setAside(path: string, why: string): Promise<void> {
    const parsed = parseName(basename(path));
    if (parsed !== undefined) this.index.remove(parsed);
    const { root, key, onBroken } = this.#options;
    try {
      await mkdir(brokenFolder(root), { recursive: true, mode: folderMode });
      await rename(path, join(brokenFolder(root), `${key.slice(0, 8)}-${basename(path)}`));
    } catch {
      // Another process may have been faster; else it goes, or it would be met again and again.
      await rm(path, { force: true }).catch(() => {});
    }
    onBroken(path, why);
  }

  /** Removes a block's file. */
  async remove(entry: Entry): Promise<void> {
    this.index.remove(entry);
    await rm(this.pathOf(entry), { force: true }).catch(() => {});
  }
}

function parseName(file: string): { kind: BlockKind; name: string } | undefined {
  const dot = file.indexOf('.');
  const name = file.slice(0, dot);
  const kind = blockKinds.find((known) => known === file.slice(dot + 1));
  return kind !== undefined && isName(name) ? { kind, name } : undefined;
}

async function readInfo(path: string): Promise<ModelInfoFile | undefined> {
  try {
    return infoSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined;
  }
}

/** Removes what a process left behind that was killed while it wrote. */
async function removeStale(path: string): Promise<void> {
  try {
    const process = /\.(\d+)-[0-9a-f]+\.part$/.exec(path)?.[1];
    const { mtimeMs } = await stat(path);
    const old = Date.now() - mtimeMs > staleMs;
    if (old || process === undefined || !isAlive(Number(process))) await rm(path, { force: true });
  } catch {}
}

function isAlive(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** All models' folders of a store that say whose they are. */
export async function readFolders(
  options: Omit<ModelFolderOptions, 'info' | 'key'>,
): Promise<ModelFolder[]> {
  const keys = await readdir(modelsFolder(options.root)).catch(() => []);
  const folders: ModelFolder[] = [];
  for (const key of keys.filter(isName)) {
    const folder = await ModelFolder.read({ ...options, key });
    if (folder !== undefined) folders.push(folder);
  }
  return folders;
}
