/**
 * A GGUF model in fewer bits: another type for each matrix, the rest as it was. Types and bytes are
 * those that llama.cpp's quantiser gives, and so are the order of tensors and metadata. The result
 * appears under its name only when it is whole; memory stays at two slabs of rows.
 */
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import { maximumThreads } from '../ggml/host.js';
import { RowConverter } from '../ggml/row-converter.js';
import { type GgmlType, type GgmlTypeName, tensorBytes, typeName } from '../ggml/types.js';
import { type GgufFile, readGguf } from '../gguf/reader.js';
import { splitCountKey, splitNumberKey, splitTensorsKey } from '../gguf/split.js';
import type { GgufMetadataEntry, GgufTensorInfo } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import { writeGguf } from '../gguf/writer.js';
import { columnWeights, type ImportanceMatrix, readImportance } from './imatrix-file.js';
import { mixByName } from './mixes.js';
import { checkOutput } from './output.js';
import { refuseRequantizing, tensorsToWrite } from './quantized-tensors.js';
import { kindOf } from './tensor-names.js';
import {
  type ChosenType,
  chooseTypes,
  type ModelFacts,
  requireImportance,
  type TypeOverride,
} from './tensor-types.js';

export interface QuantizeOptions {
  /** Path of the model, any part of a split one. */
  readonly model: string;
  /** Path of the result. */
  readonly output: string;
  /** Name of the mix: `Q4_K_M`. */
  readonly mix: string;
  /** Types for tensors by pattern, before the rules of the mix; the first match decides. */
  readonly overrides?: readonly TypeOverride[];
  /** All matrices in the mix's main type. Default false. */
  readonly pure?: boolean;
  readonly outputType?: GgmlType;
  readonly embeddingType?: GgmlType;
  /** Path of an importance matrix. */
  readonly imatrix?: string;
  /** Also take matrices that are quantised already. Default false. */
  readonly allowRequantize?: boolean;
  /** Only say what would be written. Default false. */
  readonly dryRun?: boolean;
  /** Replace the output if it exists. Default false. */
  readonly replace?: boolean;
  /** Default: all cores. */
  readonly threads?: number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface QuantizedTensor {
  readonly name: string;
  readonly from: GgmlTypeName;
  readonly to: GgmlTypeName;
  readonly bytes: number;
  /** The type that the mix asks for, where rows are too short for it. */
  readonly insteadOf?: GgmlTypeName;
}

export interface QuantizeResult {
  readonly output: string;
  readonly mix: string;
  /** In the order of the file. */
  readonly tensors: readonly QuantizedTensor[];
  /** Of all tensors, before and after. */
  readonly sourceBytes: number;
  readonly bytes: number;
  readonly bitsPerWeight: number;
  /** Tensors that got weights from the importance matrix. */
  readonly weighted: number;
}

/** `general.quantization_version` of today's block layouts. */
const quantizationVersion = 2;
const versionKey = 'general.quantization_version';
const fileTypeKey = 'general.file_type';

/**
 * Quantises a model.
 * @throws {PacelineError} `model-not-found`, `broken-file`, `usage` (an unknown mix, an output that
 *   exists, a missing importance matrix, a source that is quantised), `unsupported-type`,
 *   `bad-weights`, `io`, `aborted`.
 */
export async function quantizeModel(options: QuantizeOptions): Promise<QuantizeResult> {
  const { output, signal, onProgress } = options;
  const mix = mixByName(options.mix);
  await using file = await readGguf(options.model, { signal });
  const { dryRun, replace } = options;
  if (dryRun !== true) checkOutput(output, { replace, sources: file.files });
  const matrix =
    options.imatrix === undefined ? undefined : await readImportance(options.imatrix, { signal });
  const chosen = chooseTypes(file.tensors.values(), factsOf(file), {
    mix,
    overrides: options.overrides,
    pure: options.pure,
    outputType: options.outputType,
    embeddingType: options.embeddingType,
    hasImportance: matrix !== undefined,
  });
  if (options.allowRequantize !== true) refuseRequantizing(chosen);
  const weights = importanceOf(matrix, options.imatrix ?? '');
  requireImportance(chosen, mix, (name) => matrix?.entries.has(name) === true);
  const result = report(output, mix.name, chosen, matrix);
  if (dryRun === true) return result;

  await using converter = new RowConverter(options.threads ?? maximumThreads());
  const tensors = tensorsToWrite(chosen, {
    reader: {
      read: ({ name }, target, start) =>
        file.readTensor(file.tensors.get(name) as GgufTensorInfo, target, { start, signal }),
    },
    converter,
    importance: weights,
    signal,
  });
  const metadata = quantizedMetadata(file, mix.fileType, matrix, options.imatrix);
  await writeGguf(output, { metadata, tensors }, { signal, onProgress });
  return result;
}

/** What the rules want to know, from metadata. */
function factsOf(file: GgufFile): ModelFacts {
  const architecture = file.string('general.architecture');
  const key = (name: string) => `${architecture}.${name}`;
  const layers = file.integer(key('block_count'));
  // The rules look at the first layer where layers differ.
  const first = (name: string) => file.optionalScalarOrArray(key(name), layers)?.[0];
  const heads = first('attention.head_count') ?? 0;
  return {
    architecture,
    layers,
    experts: file.optionalInteger(key('expert_count')) ?? 0,
    heads,
    kvHeads: first('attention.head_count_kv') ?? heads,
  };
}

/**
 * The weights of a tensor's columns. A matrix made for another model is refused; what it has of the
 * token table fits no model and is left aside, as in llama.cpp.
 */
function importanceOf(matrix: ImportanceMatrix | undefined, path: string) {
  return ({ name, shape }: ChosenType): Float32Array | undefined => {
    const entry = matrix?.entries.get(name);
    if (entry === undefined) return undefined;
    const needed = (shape[0] ?? 1) * (shape[2] ?? 1);
    if (entry.sums.length === needed) return columnWeights(entry);
    if (kindOf(name) === 'embedding') return undefined;
    throw new PacelineError(
      'wrong-shape',
      `${path} has ${entry.sums.length} values for ${name}, which needs ${needed}`,
      {
        hint: 'The importance matrix was made for another model.',
        details: { file: path, tensor: name, expected: needed, found: entry.sums.length },
      },
    );
  };
}

function report(
  output: string,
  mix: string,
  chosen: readonly ChosenType[],
  matrix: ImportanceMatrix | undefined,
): QuantizeResult {
  const tensors = chosen.map(({ name, shape, type, target, insteadOf }) => ({
    name,
    from: typeName(type),
    to: typeName(target),
    bytes: tensorBytes(target, shape),
    ...(insteadOf === undefined ? {} : { insteadOf: typeName(insteadOf) }),
  }));
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  const bytes = sum(tensors.map((tensor) => tensor.bytes));
  const elements = sum(chosen.map(({ shape }) => shape.reduce((a, b) => a * b, 1)));
  return {
    output,
    mix,
    tensors,
    sourceBytes: sum(chosen.map(({ type, shape }) => tensorBytes(type, shape))),
    bytes,
    bitsPerWeight: (8 * bytes) / elements,
    weighted: chosen.filter(
      ({ name, type, target }) => target !== type && matrix?.entries.has(name) === true,
    ).length,
  };
}

/** The source's metadata with what tells of the quantisation, in llama.cpp's order. */
function quantizedMetadata(
  file: GgufFile,
  fileType: number,
  matrix: ImportanceMatrix | undefined,
  path: string | undefined,
): Map<string, GgufMetadataEntry> {
  const metadata = new Map(file.metadata);
  const set = (key: string, entry: GgufMetadataEntry) => {
    metadata.delete(key);
    metadata.set(key, entry);
  };
  set(versionKey, ggufValue.uint32(quantizationVersion));
  set(fileTypeKey, ggufValue.uint32(fileType));
  for (const key of [splitNumberKey, splitCountKey, splitTensorsKey]) metadata.delete(key);
  if (matrix !== undefined && path !== undefined) {
    set('quantize.imatrix.file', ggufValue.string(path));
    const [dataset] = matrix.datasets;
    if (dataset !== undefined) set('quantize.imatrix.dataset', ggufValue.string(dataset));
    set('quantize.imatrix.entries_count', ggufValue.uint32(matrix.entries.size));
    if (matrix.chunkCount > 0) {
      set('quantize.imatrix.chunks_count', ggufValue.uint32(matrix.chunkCount));
    }
  }
  return metadata;
}
