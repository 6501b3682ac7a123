/**
 * A Hugging Face checkpoint (safetensors, config, tokenizer) as one GGUF file, in its own precision or
 * quantised in the same pass. Whether the result is a model that the engine can load is checked
 * before anything is written; memory is that of a few slabs of rows.
 */
import { basename, join, resolve } from 'node:path';
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import { maximumThreads } from '../ggml/host.js';
import { RowConverter } from '../ggml/row-converter.js';
import { trimShape } from '../ggml/tensor.js';
import { GgmlType, isQuantized, rowBytes, tensorBytes } from '../ggml/types.js';
import { GgufMetadata } from '../gguf/metadata.js';
import type { ByteSource } from '../gguf/source.js';
import type { GgufMetadataEntry, GgufTensorInfo } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import { writeGguf } from '../gguf/writer.js';
import { planModel } from '../models/load.js';
import { poolingMetadata } from './bert-checkpoint.js';
import { readHyperparameters, samplingMetadata } from './checkpoint-metadata.js';
import type {
  CheckpointHyperparameters,
  CheckpointPlan,
  CheckpointShape,
} from './checkpoint-shape.js';
import { planTensors } from './checkpoint-tensors.js';
import { readVocabulary } from './checkpoint-vocabulary.js';
import { floatAt } from './element-values.js';
import { openDenseModules } from './embedding-gemma-checkpoint.js';
import { hunyuanSpecials } from './hunyuan-checkpoint.js';
import { columnWeights, type ImportanceMatrix, readImportance } from './imatrix-file.js';
import { type JsonObject, readJsonIfThere } from './json.js';
import { type Mix, type MixName, mixByName } from './mixes.js';
import { checkOutput } from './output.js';
import { type PlannedTensor, readRows } from './planned-tensors.js';
import { withoutCodes } from './quantized-checkpoint.js';
import { tensorsToWrite } from './quantized-tensors.js';
import { qwen3Ranker } from './qwen3-ranker.js';
import { openSafetensors, type SafetensorsTensor, unknownElements } from './safetensors.js';
import { mayQuantize } from './tensor-names.js';
import { type ChosenType, chooseTypes, requireImportance } from './tensor-types.js';

export interface ConvertOptions {
  /** The folder of the checkpoint. */
  readonly checkpoint: string;
  /** Path of the result. */
  readonly output: string;
  /** `F32`, `F16`, `BF16`, any mix, or `auto` (default): the type of most of the checkpoint. */
  readonly type?: string;
  /** Path of an importance matrix, for types that need one. */
  readonly imatrix?: string;
  /** Replace the output if it exists. Default false. */
  readonly replace?: boolean;
  /** Default: all cores. */
  readonly threads?: number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ConvertResult {
  readonly output: string;
  readonly architecture: string;
  readonly type: string;
  readonly tensors: number;
  readonly parameters: number;
  /** Of the file. */
  readonly bytes: number;
}

/**
 * Converts a checkpoint.
 * @throws {PacelineError} `model-not-found`, `broken-file`, `unsupported-architecture`,
 *   `unsupported-tokenizer`, `unsupported-type`, `missing-tensor`, `wrong-shape`, `bad-weights`,
 *   `usage`, `io`, `aborted`.
 */
export async function convertCheckpoint(options: ConvertOptions): Promise<ConvertResult> {
  const { output, signal, onProgress } = options;
  const folder = resolve(options.checkpoint);
  const config = await readJsonIfThere(join(folder, 'config.json'));
  if (config === undefined) {
    throw new PacelineError('model-not-found', `${folder} has no config.json`, {
      hint: 'Give the folder of a Hugging Face checkpoint.',
      details: { folder },
    });
  }
  checkOutput(output, options);
  const hyperparameters = readHyperparameters(config);
  const { architecture } = hyperparameters.shape;
  const sources: ByteSource[] = [];
  try {
    const shards = await openShards(folder, signal);
    sources.push(...shards.sources);
    const dense = await openDenseModules(folder, architecture, signal);
    sources.push(...dense.sources);
    const decoded = withoutCodes(new Map([...shards.tensors, ...dense.tensors]), config);
    const { shape } = hyperparameters;
    const ranker = await qwen3Ranker({ folder, config, shape, tensors: decoded });
    const body = planAll(ranker?.tensors ?? decoded, hyperparameters);
    const { blocks, entries } = body;
    const planned = ranker ? [...body.planned, ranker.head] : body.planned;
    const mix = chooseMix(options.type ?? 'auto', planned);
    const matrix =
      options.imatrix === undefined ? undefined : await readImportance(options.imatrix, { signal });
    const chosen = choose(planned, { ...hyperparameters.shape, layers: blocks }, mix, matrix);
    const metadata = await describe(folder, config, hyperparameters, mix, planned);
    for (const [key, entry] of [...entries, ...(ranker?.metadata ?? [])]) metadata.set(key, entry);
    for (const [key, entry] of dense.metadata) metadata.set(`${architecture}.${key}`, entry);
    const factors = ropeTensors(hyperparameters);
    checkLoads(folder, metadata, [...chosen, ...factors.map(({ facts }) => facts)]);
    await using converter = new RowConverter(options.threads ?? maximumThreads());
    const byName = new Map(planned.map((tensor) => [tensor.name, tensor]));
    const tensors = tensorsToWrite(chosen, {
      reader: {
        read: (tensor, target, start) =>
          readPlanned(byName.get(tensor.name) as PlannedTensor, target, start, signal),
      },
      converter,
      importance: ({ name }) => {
        const entry = matrix?.entries.get(name);
        return entry && columnWeights(entry);
      },
      signal,
    });
    const all = [...factors.map(({ tensor }) => tensor), ...tensors];
    const bytes = await writeGguf(output, { metadata, tensors: all }, { signal, onProgress });
    return {
      output,
      architecture,
      type: mix.name,
      tensors: all.length,
      parameters: chosen.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
      bytes,
    };
  } finally {
    await Promise.all(sources.map((source) => source.close()));
  }
}

interface Shards {
  readonly sources: readonly ByteSource[];
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
}

/** All files of a checkpoint: those of the index, or the one that there is. */
async function openShards(folder: string, signal: AbortSignal | undefined): Promise<Shards> {
  const index = await readJsonIfThere(join(folder, 'model.safetensors.index.json'));
  const places = index?.object('weight_map')?.values;
  const files = places === undefined ? ['model.safetensors'] : [...new Set(Object.values(places))];
  const sources: ByteSource[] = [];
  const tensors = new Map<string, SafetensorsTensor>();
  try {
    for (const file of files) {
      // A name in the index is a stranger's: it must not lead out of the folder.
      if (typeof file !== 'string' || basename(file) !== file || /^\.|[\\/]/.test(file)) {
        throw new PacelineError('broken-file', `The index names a file ${JSON.stringify(file)}`, {
          hint: 'Download model.safetensors.index.json again.',
        });
      }
      const shard = await openSafetensors(join(folder, file), signal);
      sources.push(shard.source);
      for (const [name, tensor] of shard.tensors) {
        if (places === undefined || places[name] === file) tensors.set(name, tensor);
      }
    }
    const missing = Object.keys(places ?? {}).find((name) => !tensors.has(name));
    if (missing === undefined) return { sources, tensors };
    throw new PacelineError('missing-tensor', `Tensor ${missing} is not in the file of the index`, {
      hint: 'A shard of the checkpoint is damaged; download it again.',
      details: { tensor: missing },
    });
  } catch (error) {
    await Promise.all(sources.map((source) => source.close()));
    throw error;
  }
}

/** What is to be written, how many blocks that are, and the entries that only the tensors tell. */
function planAll(
  given: ReadonlyMap<string, SafetensorsTensor>,
  { shape, plan }: CheckpointHyperparameters,
) {
  const made: CheckpointPlan = plan?.(given) ?? { planned: planTensors(given, shape) };
  const { planned, drafting = 0, metadata } = made;
  for (const { matrices } of planned) {
    const coded = matrices.find(({ tensor }) => tensor.codes !== undefined)?.tensor;
    if (coded) throw unknownElements(coded.source.name, coded.name, coded.codes as string);
  }
  const blocks = shape.layers + drafting;
  const entries = new Map(metadata);
  if (drafting > 0) {
    entries.set(`${shape.architecture}.block_count`, ggufValue.uint32(blocks));
    entries.set(`${shape.architecture}.nextn_predict_layers`, ggufValue.uint32(drafting));
  }
  return { planned, blocks, entries };
}

/** `auto` is the type that holds most bytes of the matrices. */
function chooseMix(name: string, planned: readonly PlannedTensor[]): Mix {
  if (name !== 'auto') return mixByName(name);
  const bytes = new Map<GgmlType, number>();
  for (const { type: own, shape, matrices } of planned) {
    // What is quantised stays so.
    if (shape.length < 2 || isQuantized(own)) continue;
    const type = matrices[0]?.tensor.natural ?? own;
    bytes.set(type, (bytes.get(type) ?? 0) + tensorBytes(type, shape));
  }
  const [most] = [...bytes].sort(([, a], [, b]) => b - a)[0] ?? [GgmlType.F32];
  const names = new Map<GgmlType, MixName>([
    [GgmlType.F16, 'F16'],
    [GgmlType.BF16, 'BF16'],
  ]);
  return mixByName(names.get(most) ?? 'F32');
}

/**
 * Types by the mix; vectors, norms and routers are F32, which is what models compute them in, and what was trained
 * quantised stays as it is.
 */
function choose(
  planned: readonly PlannedTensor[],
  shape: CheckpointShape,
  mix: Mix,
  matrix: ImportanceMatrix | undefined,
): ChosenType[] {
  const facts = planned.map((tensor) => ({
    name: tensor.name,
    shape: tensor.shape,
    type: tensor.shift === undefined ? tensor.type : GgmlType.F32,
  }));
  const exact = new Set(planned.filter((tensor) => tensor.exact).map(({ name }) => name));
  const chosen = chooseTypes(facts, shape, { mix, hasImportance: matrix !== undefined }).map(
    (tensor) => {
      const { name, type, target } = tensor;
      if (!isFloat(type)) return { ...tensor, target: type };
      const keeps = exact.has(name) && !isQuantized(target);
      return mayQuantize(name, trimShape(tensor.shape)) && !keeps
        ? tensor
        : { ...tensor, target: GgmlType.F32 };
    },
  );
  requireImportance(chosen, mix, (name) => matrix?.entries.has(name) === true);
  return chosen;
}

/** Types of tables and of what was quantised before are not for the mix to choose. */
function isFloat(type: GgmlType): boolean {
  return !isQuantized(type) && type !== GgmlType.I32;
}

async function describe(
  folder: string,
  config: JsonObject,
  { shape, metadata }: CheckpointHyperparameters,
  mix: Mix,
  planned: readonly PlannedTensor[],
): Promise<Map<string, GgufMetadataEntry>> {
  const generation = await readJsonIfThere(join(folder, 'generation_config.json'));
  const { architecture } = shape;
  const table = planned.find(({ name }) => name === 'token_embd.weight');
  const size = table?.rows ?? shape.vocabSize;
  const vocabulary = await readVocabulary({
    folder,
    modelConfig: config,
    ...{ architecture, size },
  });
  return new Map<string, GgufMetadataEntry>([
    ['general.architecture', ggufValue.string(architecture)],
    ['general.type', ggufValue.string('model')],
    ...samplingMetadata(generation),
    ['general.name', ggufValue.string(basename(folder))],
    ...metadata,
    ...(shape.ranks === true ? [] : await poolingMetadata(folder, architecture)),
    ['general.file_type', ggufValue.uint32(fileTypeOf(mix, planned))],
    ['general.quantization_version', ggufValue.uint32(2)],
    ...vocabulary,
    ...hunyuanSpecials(config, generation, { architecture, size }),
  ]);
}

/** What experts in MXFP4 are called beside matrices that are not quantised. */
function fileTypeOf(mix: Mix, planned: readonly PlannedTensor[]): number {
  const coded = planned.some(({ type }) => type === GgmlType.MXFP4);
  return coded && !isQuantized(mix.type) ? mixByName('MXFP4_MOE').fileType : mix.fileType;
}

function ropeTensors({ ropeFactors }: CheckpointHyperparameters) {
  return [...(ropeFactors ?? [])].map(([name, values]) => {
    const facts = { name, type: GgmlType.F32, shape: [values.length] };
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return { facts: { ...facts, target: GgmlType.F32 }, tensor: { ...facts, data } };
  });
}

/** Requires that the engine finds every weight that its model needs, in the shape that it needs. */
function checkLoads(
  folder: string,
  metadata: ReadonlyMap<string, GgufMetadataEntry>,
  chosen: readonly ChosenType[],
): void {
  const tensors = new Map(
    chosen.map(({ name, shape, target }): [string, GgufTensorInfo] => [
      name,
      { name, shape, type: target, offset: 0, bytes: tensorBytes(target, shape), file: 0 },
    ]),
  );
  const source = Object.assign(new GgufMetadata(folder, metadata), {
    tensors,
    readTensor: () => Promise.reject(new PacelineError('internal', 'Nothing is read here')),
  });
  planModel(source);
}

async function readPlanned(
  planned: PlannedTensor,
  target: Uint8Array,
  start: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { shift, type, rowLength } = planned;
  if (shift === undefined) {
    await readRows(planned, target, start / rowBytes(type, rowLength), signal);
    return;
  }
  const count = target.byteLength / 4;
  const source = new Uint8Array(count * rowBytes(type, 1));
  await readRows(planned, source, start / (4 * rowLength), signal);
  const floats = new Float32Array(target.buffer, target.byteOffset, count);
  const view = new DataView(source.buffer);
  for (let at = 0; at < count; at++) floats[at] = floatAt(view, at, type) + shift;
}
