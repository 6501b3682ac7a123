/**
 * Declares a model's weights and loads them. Every tensor's presence, shape and type is checked when
 * it is declared, before any memory is taken; every value while it is read. Loading reports progress
 * in bytes and can be aborted.
 */
import { PacelineError, throwIfAborted } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import type { Backend } from '../ggml/backend.js';
import { trimShape } from '../ggml/tensor.js';
import { GgmlType, rowBytes, tensorBytes, typeName } from '../ggml/types.js';
import {
  type FilePlace,
  Weight,
  type WeightAllocation,
  type WeightLayout,
  type WeightRole,
  type WeightSpec,
} from '../ggml/weight.js';
import type { GgufTensorInfo } from '../gguf/types.js';

/** The file that holds a tensor; `matrices`: those of it that the tensor consists of, default all. */
export type TensorFile = Pick<FilePlace, 'path' | 'facts' | 'matrices'>;

/** The part of a GGUF file that holds tensors. */
export interface TensorSource {
  readonly tensors: ReadonlyMap<string, GgufTensorInfo>;
  /** Fills `target` with the tensor's bytes from byte `start` on. */
  readTensor(
    info: GgufTensorInfo,
    target: Uint8Array,
    options: { start: number; signal?: AbortSignal | undefined },
  ): Promise<void>;
  /** The file that holds a tensor; undefined: bytes in memory. */
  fileOf?(info: GgufTensorInfo): TensorFile | undefined;
}

/** Bytes read, checked and stored at a time. */
const pieceBytes = 8 * 2 ** 20;

/** Some rows of each matrix of a tensor, which hold one of several matrices that a file keeps as one. */
export interface RowPart {
  readonly first: number;
  /** Rows that the tensor has. */
  readonly of: number;
}

interface Declared {
  readonly info: GgufTensorInfo;
  readonly weight: Weight;
  readonly firstRow: number;
  /** Of integers: all are below it. */
  readonly below?: number | undefined;
}

export interface LoadWeightsOptions {
  readonly backend: Backend;
  /** In order of preference; the last one must hold everything. A function: those of a weight. */
  readonly layouts: readonly WeightLayout[] | ((spec: WeightSpec) => readonly WeightLayout[]);
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class WeightLoader {
  /** The context that the model is loaded for, in tokens. */
  readonly contextLength: number;
  readonly #source: TensorSource;
  readonly #declared = new Map<string, Declared>();
  readonly #skipped = new Set<string>();

  constructor(source: TensorSource, contextLength: number) {
    this.#source = source;
    this.contextLength = contextLength;
  }

  /** Lets tensors be that a model of this kind may have and computes nothing with. */
  skip(...names: readonly string[]): void {
    for (const name of names) this.#skipped.add(name);
  }

  /** Names of all tensors that are of use, or known not to be. */
  get known(): ReadonlySet<string> {
    return new Set([...this.#skipped, ...this.weights.map(({ name }) => name)]);
  }

  get weights(): readonly Weight[] {
    return [...this.#declared.values()].map(({ weight }) => weight);
  }

  /** The file's tensor of that name, unchecked, for sizes that only the shape tells. */
  find(name: string): GgufTensorInfo | undefined {
    return this.#source.tensors.get(name);
  }

  /** A matrix [in, out]; `part`: these rows of a larger one. */
  matrix(name: string, shape: readonly [number, number], part?: RowPart): Weight {
    return this.#required(name, shape, 'linear', part);
  }

  /** A matrix for each expert: [in, out, experts]; `part`: these rows of larger ones. */
  experts(name: string, shape: readonly [number, number, number], part?: RowPart): Weight {
    return this.#required(name, shape, 'experts', part);
  }

  /** A table of rows, such as token embeddings; `tied` if it is also used as a matrix. */
  table(name: string, shape: readonly [number, number], tied: boolean): Weight {
    return this.#required(name, shape, tied ? 'linear+rows' : 'rows');
  }

  /** A norm, bias or list of factors. Kept as F32. */
  vector(name: string, shape: number | readonly number[]): Weight {
    return this.#required(name, typeof shape === 'number' ? [shape] : shape, 'vector');
  }

  /** Several vectors of one length: [length, count]. Kept as F32. */
  vectors(name: string, shape: readonly [number, number]): Weight {
    return this.#required(name, shape, 'vector');
  }

  /**
   * A matrix for each of some groups [in, out, groups], which a file has as one matrix whose rows are those of all
   * groups, one behind the other.
   */
  groups(name: string, shape: readonly [number, number, number]): Weight {
    const [inputs, outputs, count] = shape;
    return this.#required(name, shape, 'experts', undefined, [inputs, outputs * count]);
  }

  /** A table of whole numbers from 0 to `below` - 1: [count, rows], I32. */
  numbers(name: string, shape: readonly [number, number], below: number): Weight {
    return this.#required(name, shape, 'vector', undefined, shape, below);
  }

  optionalVector(name: string, shape: readonly number[]): Weight | undefined {
    return this.find(name) === undefined ? undefined : this.#required(name, shape, 'vector');
  }

  /** @param filed the shape that the file has; default: `shape`, or as many rows as `part` says. */
  #required(
    name: string,
    shape: readonly number[],
    role: WeightRole,
    part?: RowPart,
    filed?: readonly number[],
    below?: number,
  ): Weight {
    const info = this.find(name);
    const expected = filed ?? (part === undefined ? shape : shape.with(1, part.of));
    if (info === undefined) {
      throw new PacelineError('missing-tensor', `The model has no tensor ${name}`, {
        hint: 'The file is incomplete, or one part of a split model is missing.',
        details: { tensor: name, expected },
      });
    }
    const found = trimShape(info.shape);
    if (
      found.length !== trimShape(expected).length ||
      expected.some((n, axis) => n !== (found[axis] ?? 1))
    ) {
      throw new PacelineError(
        'wrong-shape',
        `Tensor ${name} has the shape [${found.join(', ')}] instead of [${expected.join(', ')}]`,
        {
          hint: 'The metadata and the tensors of this file do not fit together.',
          details: { tensor: name, expected, found },
        },
      );
    }
    const whole = below !== undefined;
    if (whole && info.type !== GgmlType.I32) throw wrongType(info, 'I32');
    if (!whole && role === 'vector' && info.type !== GgmlType.F32) throw wrongType(info, 'F32');
    if (!whole && notFloat.has(info.type)) {
      throw wrongType(info, 'a floating-point or quantised type');
    }
    const { first: firstRow } = part ?? { first: 0 };
    const key = part === undefined ? name : `${name} from ${firstRow}`;
    const existing = this.#declared.get(key);
    if (existing !== undefined) return existing.weight;
    const weight = new Weight({ name, type: info.type, shape, role });
    this.#declared.set(key, { info, weight, firstRow, below });
    return weight;
  }

  /**
   * Allocates storage for every declared weight and fills it.
   * @throws {PacelineError} `memory`, `aborted`, `bad-weights`, `broken-file`; nothing stays allocated.
   */
  async load(options: LoadWeightsOptions): Promise<WeightAllocation[]> {
    const groups = new Map<WeightLayout, Declared[]>();
    const { layouts } = options;
    for (const declared of this.#declared.values()) {
      const { weight } = declared;
      const { layout } = layoutFor(
        weight,
        typeof layouts === 'function' ? layouts(weight) : layouts,
      );
      groups.set(layout, [...(groups.get(layout) ?? []), declared]);
    }
    const allocations: WeightAllocation[] = [];
    try {
      const places = new Map<Declared, (piece: Piece) => Promise<void> | void>();
      for (const [layout, members] of groups) {
        const specs = members.map(({ weight }) => weight);
        const allocation = layout.allocate(options.backend, specs);
        allocations.push(allocation);
        for (const [index, declared] of members.entries()) {
          const storage = allocation.storages[index];
          if (storage !== undefined) declared.weight.storage = storage;
          if (allocation.leave !== undefined) {
            allocation.leave(index, this.#filePlace(declared));
            continue;
          }
          places.set(declared, ({ matrix, firstRow, data }) =>
            allocation.fill(index, matrix, firstRow, data),
          );
        }
        allocation.open?.();
      }
      await this.#fill(options, places);
      return allocations;
    } catch (error) {
      for (const allocation of allocations) allocation.dispose();
      throw error;
    }
  }

  /** @throws {PacelineError} `usage` for a weight that is in no file. */
  #filePlace({ info, weight, firstRow }: Declared): FilePlace {
    const file = this.#source.fileOf?.(info);
    if (file === undefined) {
      throw new PacelineError('usage', `${weight} cannot stay in a file: it comes from memory`, {
        hint: 'Load the model from its file, or leave out expertMemory.',
      });
    }
    const [columns = 1, rows = 1] = info.shape;
    const row = rowBytes(info.type, columns);
    return { ...file, offset: info.offset + firstRow * row, stride: rows * row };
  }

  /** Reads in the order of the file; while a piece is checked and stored, the next is read. */
  async #fill(
    { backend, onProgress, signal }: LoadWeightsOptions,
    places: ReadonlyMap<Declared, (piece: Piece) => Promise<void> | void>,
  ): Promise<void> {
    const order = [...places.keys()].sort(
      (a, b) => a.info.file - b.info.file || a.info.offset - b.info.offset,
    );
    const total = order.reduce(
      (sum, { weight }) => sum + tensorBytes(weight.type, weight.shape),
      0,
    );
    const buffers = [new Uint8Array(0), new Uint8Array(0)];
    let done = 0;
    let turn = 0;
    let storing: Promise<void> = Promise.resolve();
    const store = async (declared: Declared, piece: Piece) => {
      if (declared.below !== undefined) checkNumbers(declared.info, declared.below, piece);
      else await checkValues(backend, declared.info, piece);
      await places.get(declared)?.(piece);
      done += piece.data.byteLength;
      onProgress?.({ task: 'loading weights', done, total, unit: 'bytes' });
    };
    try {
      for (const declared of order) {
        for (const { matrix, firstRow, offset, bytes } of pieces(declared)) {
          throwIfAborted(signal);
          turn = 1 - turn;
          if ((buffers[turn]?.byteLength ?? 0) < bytes) buffers[turn] = new Uint8Array(bytes);
          const data = (buffers[turn] as Uint8Array).subarray(0, bytes);
          await this.#source.readTensor(declared.info, data, { start: offset, signal });
          await storing;
          storing = store(declared, { matrix, firstRow, data });
          storing.catch(() => {}); // awaited below; until then a failure must not count as unhandled
        }
      }
    } finally {
      await storing;
    }
  }
}

const notFloat: ReadonlySet<GgmlType> = new Set([
  GgmlType.I8,
  GgmlType.I16,
  GgmlType.I32,
  GgmlType.I64,
  GgmlType.F64,
]);

interface Piece {
  readonly matrix: number;
  readonly firstRow: number;
  readonly data: Uint8Array;
}

/** The pieces in which a weight is read: rows of one matrix, a multiple of 64 but for the last. */
function* pieces({ info, weight, firstRow: skipped }: Declared) {
  const [n0 = 1, ...outer] = info.shape;
  const [, rows = 1, ...groups] = weight.shape;
  const matrices = groups.reduce((product, n) => product * n, 1);
  const stored = outer.reduce((product, n) => product * n, 1) / matrices;
  const row = rowBytes(info.type, n0);
  const step = Math.max(64, Math.floor(pieceBytes / Math.max(1, row) / 64) * 64);
  for (let matrix = 0; matrix < matrices; matrix++) {
    for (let firstRow = 0; firstRow < rows; firstRow += step) {
      const count = Math.min(step, rows - firstRow);
      const offset = (matrix * stored + skipped + firstRow) * row;
      yield { matrix, firstRow, offset, bytes: count * row };
    }
  }
}

function layoutFor(weight: Weight, layouts: readonly WeightLayout[]) {
  for (const layout of layouts) {
    const bytes = layout.bytes(weight);
    if (bytes !== undefined) return { layout, bytes };
  }
  throw new PacelineError('unsupported-type', `No way to store ${weight}`, {
    details: { tensor: weight.name, type: typeName(weight.type) },
  });
}

/** @throws {PacelineError} `bad-weights` for a number that is not from 0 to `below` - 1. */
function checkNumbers(info: GgufTensorInfo, below: number, { data, firstRow }: Piece): void {
  const values = new Int32Array(data.buffer, data.byteOffset, data.byteLength / 4);
  const wrong = values.findIndex((value) => value < 0 || value >= below);
  if (wrong < 0) return;
  const row = firstRow + Math.floor(wrong / (info.shape[0] ?? 1));
  throw new PacelineError(
    'bad-weights',
    `Tensor ${info.name} holds ${values[wrong]} in row ${row}, expected numbers from 0 to ${below - 1}`,
    {
      hint: 'The file is damaged or its conversion went wrong; get or convert it again.',
      details: { tensor: info.name, row, value: values[wrong] },
    },
  );
}

/** ggml's own check for NaN and infinity, on a worker thread. */
async function checkValues(backend: Backend, info: GgufTensorInfo, piece: Piece): Promise<void> {
  const { data } = piece;
  const valid = await new Promise<boolean>((resolve, reject) => {
    backend.ggml.base.ggml_validate_row_data.async(info.type, data, data.byteLength, (error, ok) =>
      error ? reject(error) : resolve(ok),
    );
  });
  if (valid) return;
  throw new PacelineError(
    'bad-weights',
    `Tensor ${info.name} has values that are not finite numbers (rows ${piece.firstRow} and on)`,
    {
      hint: 'The file is damaged or its conversion went wrong; get or convert it again.',
      details: { tensor: info.name, matrix: piece.matrix, firstRow: piece.firstRow },
    },
  );
}

function wrongType(info: GgufTensorInfo, expected: string): PacelineError {
  return new PacelineError(
    'unsupported-type',
    `Tensor ${info.name} is ${typeName(info.type)}, where ${expected} is needed`,
    { details: { tensor: info.name, found: typeName(info.type), expected } },
  );
}
