/**
 * Opens GGUF models: one file, or the parts of a split one as if they were one. Only headers are
 * read when opening; tensors are read when asked for. Knows nothing of architectures.
 */
import { PacelineError, throwIfAborted } from '../base/errors.js';
import type { FileFacts } from '../base/files.js';
import { brokenFile } from './cursor.js';
import { type GgufHeader, parseHeader } from './header.js';
import { GgufMetadata } from './metadata.js';
import { type ByteSource, openFileSource } from './source.js';
import { partPaths, splitCountKey, splitNumberKey, splitTensorsKey } from './split.js';
import type { GgufTensorInfo } from './types.js';

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ReadTensorOptions extends ReadOptions {
  /** First byte of the tensor to read, 0 unless given; then `target` may be shorter than the rest. */
  readonly start?: number;
}

/** Opens the file or part that a name stands for; replaced in tests by sources in memory. */
export type OpenSource = (path: string) => Promise<ByteSource>;

/** An open model: metadata at once, tensors on demand. Close it, or use `await using`. */
export class GgufFile extends GgufMetadata {
  readonly version: number;
  /** By name, in the order of the file or files. */
  readonly tensors: ReadonlyMap<string, GgufTensorInfo>;
  /** Paths of the parts; one unless the model is split. */
  readonly files: readonly string[];
  /** Bytes of all files together. */
  readonly bytes: number;
  readonly #sources: readonly ByteSource[];
  #closed = false;

  /** Use `readGguf`. */
  constructor(
    sources: readonly ByteSource[],
    header: GgufHeader,
    tensors: ReadonlyMap<string, GgufTensorInfo>,
  ) {
    super(sources[0]?.name ?? '', header.metadata);
    this.version = header.version;
    this.tensors = tensors;
    this.files = sources.map((source) => source.name);
    this.bytes = sources.reduce((sum, source) => sum + source.size, 0);
    this.#sources = sources;
  }

  /**
   * Copies a tensor's bytes into `target`, which must be exactly as large (or a part of it, with
   * `start`).
   * @throws {PacelineError} `broken-file` when the file has become shorter since it was opened,
   *   `io`, `disposed` after `close`, `internal` when `target` does not fit, `aborted`.
   */
  async readTensor(
    info: GgufTensorInfo,
    target: Uint8Array,
    { start, signal }: ReadTensorOptions = {},
  ): Promise<void> {
    throwIfAborted(signal);
    const source = this.#sources[info.file];
    if (this.#closed || source === undefined) {
      throw new PacelineError('disposed', `${this.files[0]} was closed`, {
        hint: 'Read tensors before closing the file.',
      });
    }
    const from = start ?? 0;
    const fits =
      start === undefined
        ? target.byteLength === info.bytes
        : from >= 0 && from + target.byteLength <= info.bytes;
    if (!fits) {
      throw new PacelineError(
        'internal',
        `Tensor ${info.name} has ${info.bytes} bytes; ${target.byteLength} from ${from} do not fit`,
      );
    }
    await source.read(target, info.offset + from, signal);
  }

  /** The file that holds a tensor, for who reads it by other means; undefined: bytes in memory. */
  fileOf(info: GgufTensorInfo): { readonly path: string; readonly facts: FileFacts } | undefined {
    const source = this.#sources[info.file];
    return source?.facts && { path: source.name, facts: source.facts };
  }

  /** Closes the files; calling it again does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all(this.#sources.map((source) => source.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Opens a model. For a split model `path` is any of its parts (`NAME-00001-of-00003.gguf`).
 * @throws {PacelineError} `model-not-found` when the file or a part is missing, `broken-file` for a
 *   truncated or malformed file, `unsupported-type`, `io`, `aborted`.
 */
export async function readGguf(path: string, options: ReadOptions = {}): Promise<GgufFile> {
  return readGgufFrom(path, openFileSource, options);
}

/** `readGguf` over any way of opening sources. */
export async function readGgufFrom(
  path: string,
  openSource: OpenSource,
  { signal }: ReadOptions = {},
): Promise<GgufFile> {
  throwIfAborted(signal);
  const sources: ByteSource[] = [];
  try {
    const source = await openSource(path);
    sources.push(source);
    const header = await parseHeader(source, { signal });
    const whole = new GgufMetadata(path, header.metadata);
    const count = whole.optionalInteger(splitCountKey, { most: 65535 }) ?? 0;
    if (count <= 1) return new GgufFile(sources, header, byName(header.tensors));
    const paths = partPaths(path, count, whole.integer(splitNumberKey, { most: 65535 }));
    await source.close();
    sources.length = 0;
    return await readParts(paths, openSource, sources, signal);
  } catch (error) {
    await Promise.allSettled(sources.map((source) => source.close()));
    throw error;
  }
}

async function readParts(
  paths: readonly string[],
  openSource: OpenSource,
  sources: ByteSource[],
  signal: AbortSignal | undefined,
): Promise<GgufFile> {
  const tensors = new Map<string, GgufTensorInfo>();
  let first: GgufHeader | undefined;
  for (const [file, path] of paths.entries()) {
    const source = await openPart(path, file, paths.length, openSource);
    sources.push(source);
    const header = await parseHeader(source, { file, signal });
    first ??= header;
    checkPart(path, header, file, paths.length);
    for (const tensor of header.tensors) {
      if (tensors.has(tensor.name)) {
        const problem = `tensor ${tensor.name} is already in an earlier part`;
        throw brokenFile(path, tensor.offset, problem, { tensor: tensor.name });
      }
      tensors.set(tensor.name, tensor);
    }
  }
  if (first === undefined) throw new PacelineError('internal', 'A split model without parts');
  const model = new GgufFile(sources, first, tensors);
  const expected = model.integer(splitTensorsKey);
  if (expected !== tensors.size) {
    throw new PacelineError(
      'broken-file',
      `${paths[0]}: the parts hold ${tensors.size} tensors, expected ${expected}`,
      {
        hint: 'The parts are not of one model; download all of them again.',
        details: { files: paths, key: splitTensorsKey },
      },
    );
  }
  return model;
}

async function openPart(path: string, file: number, count: number, openSource: OpenSource) {
  try {
    return await openSource(path);
  } catch (error) {
    if (!PacelineError.is(error) || error.code !== 'model-not-found') throw error;
    throw new PacelineError(
      'model-not-found',
      `Part ${file + 1} of ${count} is missing: there is no file ${path}`,
      {
        hint: 'Download the missing part into the same folder.',
        details: { file: path, part: file + 1, count },
        cause: error,
      },
    );
  }
}

function checkPart(path: string, header: GgufHeader, file: number, count: number): void {
  const metadata = new GgufMetadata(path, header.metadata);
  const foundCount = metadata.integer(splitCountKey, { most: 65535 });
  const foundNumber = metadata.integer(splitNumberKey, { most: 65535 });
  if (foundCount !== count || foundNumber !== file) {
    throw new PacelineError(
      'broken-file',
      `${path} says it is part ${foundNumber + 1} of ${foundCount}, expected ${file + 1} of ${count}`,
      {
        hint: 'The parts were renamed or mixed up; download them again.',
        details: { file: path, part: file + 1, count },
      },
    );
  }
}

function byName(tensors: readonly GgufTensorInfo[]): Map<string, GgufTensorInfo> {
  return new Map(tensors.map((tensor) => [tensor.name, tensor]));
}
