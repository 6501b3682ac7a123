/**
 * A small random model as a file, and damaged variants of it. The random weights are always the
 * same. Files lie in a folder that is removed when the tests of the process have ended.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GgufFile, readGguf } from '../../src/gguf/reader.js';
import type { GgufMetadataEntry, GgufTensorInfo } from '../../src/gguf/types.js';
import { type GgufTensorToWrite, writeGguf } from '../../src/gguf/writer.js';
import { writeShapeModel } from '../../src/synthetic/shape-model.js';

let folder: string | undefined;

/** A path in a folder of this process's own. */
export function temporaryFile(name: string): string {
  if (folder === undefined) {
    const created = mkdtempSync(join(tmpdir(), 'paceline-test-'));
    process.on('exit', () => rmSync(created, { recursive: true, force: true }));
    folder = created;
  }
  return join(folder, name);
}

const made = new Map<string, Promise<string>>();

/** Path of the model with matrices of this type: 2 layers, 512 tokens, context 512. */
export function tinyModel(type = 'f32'): Promise<string> {
  const path = temporaryFile(`tiny-${type}.gguf`);
  const pending = made.get(type) ?? writeShapeModel(path, 'tiny', type).then(() => path);
  made.set(type, pending);
  return pending;
}

export interface Change {
  /** Entries to set; undefined removes one. */
  readonly metadata?: Readonly<Record<string, GgufMetadataEntry | undefined>>;
  /** A tensor as it is to be written; undefined leaves it out. */
  readonly tensor?: (tensor: GgufTensorToWrite) => GgufTensorToWrite | undefined;
}

/** Writes a changed copy of a model. */
export async function changedModel(source: string, name: string, change: Change): Promise<string> {
  const path = temporaryFile(name);
  const file = await readGguf(source);
  try {
    const metadata = new Map(file.metadata);
    for (const [key, entry] of Object.entries(change.metadata ?? {})) {
      if (entry === undefined) metadata.delete(key);
      else metadata.set(key, entry);
    }
    const tensors: GgufTensorToWrite[] = [];
    for (const info of file.tensors.values()) {
      const { name: tensorName, type, shape } = info;
      const tensor = { name: tensorName, type, shape, data: await dataOf(file, info) };
      const changed = change.tensor === undefined ? tensor : change.tensor(tensor);
      if (changed !== undefined) tensors.push(changed);
    }
    await writeGguf(path, { metadata, tensors });
  } finally {
    await file.close();
  }
  return path;
}

async function dataOf(file: GgufFile, info: GgufTensorInfo): Promise<Uint8Array> {
  const data = new Uint8Array(info.bytes);
  await file.readTensor(info, data);
  return data;
}
