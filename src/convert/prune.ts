/** A model without the experts that a subset leaves out, as a file of its own. */
import type { OnProgress } from '../base/progress.js';
import { readGguf } from '../gguf/reader.js';
import { type GgufTensorToWrite, writeGguf } from '../gguf/writer.js';
import { readSubset } from '../models/expert-subset.js';
import { planModel } from '../models/load.js';
import { subsetOf } from '../models/subset-source.js';
import { checkOutput } from './output.js';

export interface PruneOptions {
  /** Path of the model, any part of a split one. */
  readonly model: string;
  /** Path of the subset. */
  readonly subset: string;
  /** Path of the result. */
  readonly output: string;
  /** Replace the output if it exists. Default false. */
  readonly replace?: boolean;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PruneResult {
  readonly output: string;
  /** Of the files of the model, and of the result. */
  readonly sourceBytes: number;
  readonly bytes: number;
  /** Experts that are left, of so many. */
  readonly kept: number;
  readonly experts: number;
}

/** Bytes of a tensor that are copied at a time. */
const pieceBytes = 8 * 2 ** 20;

/**
 * Writes the pruned model, which gives the same text as the whole one with the subset. Layers that keep
 * equally many experts give a file that llama.cpp reads too.
 * @throws {PacelineError} as `readGguf`, `readSubset` and `subsetOf`; `usage` when the output exists;
 *   `io`, `aborted`.
 */
export async function pruneModel(options: PruneOptions): Promise<PruneResult> {
  const { output, signal, onProgress } = options;
  await using file = await readGguf(options.model, { signal });
  checkOutput(output, { replace: options.replace, sources: file.files });
  const subset = await readSubset(options.subset);
  const source = await subsetOf(file, subset, signal);
  planModel(source); // refuses what could not be loaded again
  const tensors = [...source.tensors.values()].map((info): GgufTensorToWrite => {
    const { name, type, shape, bytes } = info;
    async function* data() {
      for (let start = 0; start < bytes; start += pieceBytes) {
        const piece = new Uint8Array(Math.min(pieceBytes, bytes - start));
        await source.readTensor(info, piece, { start, signal });
        yield piece;
      }
    }
    return { name, type, shape, data };
  });
  const content = { metadata: source.metadata, tensors };
  const bytes = await writeGguf(output, content, { signal, onProgress });
  return {
    output,
    sourceBytes: file.bytes,
    bytes,
    kept: subset.kept.reduce((sum, ids) => sum + ids.length, 0),
    experts: subset.experts.reduce((sum, count) => sum + count, 0),
  };
}
