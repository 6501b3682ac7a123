/**
 * What decides the bytes of a model's state, as one name: the files' contents, and what computes. Two
 * models of one name give the same rows for the same tokens. Weights are not read whole, which would
 * take as long as loading: the header says everything but the weights, and a sample of them from all
 * over the files tells one training from another.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { packageVersion } from '../base/package-version.js';
import type { Backend } from '../ggml/backend.js';
import { nativeKernels } from '../ggml/native/library.js';
import type { GgufFile } from '../gguf/reader.js';
import { readError } from '../gguf/source.js';

/** Samples of a tensor's bytes, and how many tensors and other places are sampled at most. */
const sampleBytes = 512;
const mostTensors = 2048;
const spots = 64;
/** Headers are read in pieces of this size. */
const pieceBytes = 1 << 20;

export interface IdentityOptions {
  readonly backend: Backend;
  readonly contextLength: number;
  /** The experts that are left of the files'; default: all. */
  readonly subset?: { readonly kept: readonly (readonly number[])[] } | undefined;
  /** The card of each layer; default: the CPU. */
  readonly places?: readonly ({ readonly name: string } | undefined)[];
}

/**
 * The name.
 * @throws {PacelineError} `io`.
 */
export async function modelIdentity(
  gguf: GgufFile,
  { backend, contextLength, subset, places = [] }: IdentityOptions,
): Promise<string> {
  const contents = createHash('sha256');
  for (const [index, path] of gguf.files.entries()) {
    const tensors = [...gguf.tensors.values()].filter(({ file }) => file === index);
    const handle = await open(path, 'r').catch((error: unknown) => {
      throw readError(path, error);
    });
    try {
      const { size } = await handle.stat();
      const header = Math.min(size, ...tensors.map(({ offset }) => offset));
      contents.update(`${size},${header},`);
      for (let at = 0; at < header; at += pieceBytes) {
        contents.update(await readAt(handle, at, Math.min(pieceBytes, header - at)));
      }
      const step = Math.ceil(tensors.length / mostTensors);
      const middles = tensors
        .filter((_, at) => at % step === 0)
        .map(({ offset, bytes }) => offset + Math.floor(bytes / 2));
      const spread = Array.from({ length: spots }, (_, at) =>
        Math.floor(header + ((size - header) * at) / spots),
      );
      for (const at of [...middles, ...spread, Math.max(0, size - sampleBytes)]) {
        contents.update(await readAt(handle, at, sampleBytes));
      }
    } catch (error) {
      throw readError(path, error);
    } finally {
      await handle.close();
    }
  }
  if (subset !== undefined) contents.update(JSON.stringify(subset.kept));
  // LongRoPE turns by other angles when the context is long.
  const long = gguf.tensors.has('rope_factors_long.weight') ? contextLength : 0;
  const cards = places.some(Boolean) ? [places.map((card) => card?.name ?? '').join('/')] : [];
  return [contents.digest('hex'), long, ...cards, ...(await computesWith(backend))].join();
}

async function readAt(handle: FileHandle, position: number, count: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(count);
  const { bytesRead } = await handle.read(bytes, 0, count, position);
  return bytes.subarray(0, bytesRead);
}

/** What computes: another version or another path may round another way. */
async function computesWith(backend: Backend): Promise<string[]> {
  const { kernels } = nativeKernels();
  const { base } = backend.ggml;
  const kind = backend.reproducible ? 'everywhere' : 'here';
  const always = [packageVersion(), base.ggml_version() ?? '', backend.name, kind];
  if (kernels === undefined) return always;
  const library = createHash('sha256').update(await readFile(kernels.file));
  // The matrix unit's products, and those with looked up bytes, have the bytes of any with AVX-512.
  const path = ['amx', 'avx512vbmi'].includes(kernels.path) ? 'avx512' : kernels.path;
  return [...always, path, library.digest('hex')];
}
