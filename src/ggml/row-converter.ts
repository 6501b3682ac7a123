/**
 * Converts rows of weights from one storage type to another with ggml's own functions, on all
 * threads of a pool: any type to F32, and F32 to any type that ggml quantises. What comes out are the
 * bytes of `ggml_quantize_chunk`, whatever the number of threads, because each row stands alone.
 * Knows nothing of files and of which type suits which tensor.
 */
import { PacelineError } from '../base/errors.js';
import { addressOf, type Signatures } from './bindings.js';
import { CallPool, type NativeCall } from './call-pool.js';
import { loadGgml } from './library.js';
import { GgmlType, isTargetType, rowBytes, targetTypes, typeName } from './types.js';

/** True when ggml refuses to quantise to this type without weights for the columns. */
export function needsImportance(type: GgmlType): boolean {
  return loadGgml().base.ggml_quantize_requires_imatrix(type);
}

/** The C function that reads rows of a type as F32; undefined when there is none. */
function readerOf(type: GgmlType): string | undefined {
  const name = typeName(type);
  if (name === 'F16') return 'ggml_fp16_to_fp32_row';
  if (name === 'BF16') return 'ggml_bf16_to_fp32_row';
  if (!targetTypes.includes(name) || name === 'F32') return undefined;
  return `dequantize_row_${name.toLowerCase().replace(/_k$/, '_K')}`;
}

const signatures: Signatures = {
  ggml_quantize_chunk: ['size', ['int', 'ptr', 'ptr', 'int64', 'int64', 'int64', 'ptr']],
  ggml_validate_row_data: ['bool', ['int', 'ptr', 'size']],
  ...Object.fromEntries(
    targetTypes
      .map((name) => readerOf(GgmlType[name]))
      .filter((name) => name !== undefined)
      .map((name) => [name, ['void', ['ptr', 'ptr', 'int64']] as const]),
  ),
};

/** Elements that a thread converts at a time: some hundred microseconds to a tenth of a second. */
const chunkElements = 32 * 1024;

export interface ConvertRowsOptions {
  readonly from: GgmlType;
  readonly to: GgmlType;
  /** Elements in a row. */
  readonly rowLength: number;
  /** Rows that stand one after another in `source`. */
  readonly source: Uint8Array;
  /** The number of the first of these rows in its tensor. */
  readonly firstRow: number;
  /** Rows of one matrix; a tensor of experts has several. */
  readonly matrixRows: number;
  /** How much each column counts: `rowLength` values for each matrix. */
  readonly importance?: Float32Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class RowConverter implements AsyncDisposable {
  readonly #pool: CallPool;

  constructor(threads: number) {
    this.#pool = new CallPool({ library: loadGgml().basePath, signatures, threads });
  }

  /**
   * The rows in the target type.
   * @throws {PacelineError} `bad-weights` when a source value, or a result, is not a finite number;
   *   `unsupported-type` when ggml can't read or write a type; `aborted`.
   */
  async convert(options: ConvertRowsOptions): Promise<Uint8Array> {
    const { from, to, rowLength, source, firstRow, matrixRows, importance } = options;
    const sourceRow = rowBytes(from, rowLength);
    const rows = source.byteLength / sourceRow;
    const reader = readerOf(from);
    if ((reader === undefined && from !== GgmlType.F32) || !isTargetType(to)) {
      throw new PacelineError(
        'unsupported-type',
        `Weights cannot be converted from ${typeName(from)} to ${typeName(to)}`,
        { details: { from: typeName(from), to: typeName(to) } },
      );
    }
    const target = new Uint8Array(new ArrayBuffer(rows * rowBytes(to, rowLength)));
    const floats =
      from === GgmlType.F32 ? source : new Uint8Array(new ArrayBuffer(rows * rowLength * 4));
    const base = { source: addressOf(source), target: addressOf(target), f32: addressOf(floats) };
    const weights = importance === undefined ? 0 : addressOf(importance);

    const most = Math.max(1, Math.ceil(chunkElements / rowLength));
    const jobs: Promise<void>[] = [];
    for (let row = 0; row < rows; ) {
      const matrix = Math.floor((firstRow + row) / matrixRows);
      const count = Math.min(rows - row, most, (matrix + 1) * matrixRows - firstRow - row);
      const floatRows = base.f32 + row * rowLength * 4;
      const read = base.source + row * sourceRow;
      const write = base.target + row * rowBytes(to, rowLength);
      const columns = weights === 0 ? 0 : weights + matrix * rowLength * 4;
      const calls: NativeCall[] = [['ggml_validate_row_data', from, read, count * sourceRow]];
      if (reader !== undefined) calls.push([reader, read, floatRows, count * rowLength]);
      calls.push(
        ['ggml_quantize_chunk', to, floatRows, write, 0, count, rowLength, columns],
        ['ggml_validate_row_data', to, write, count * rowBytes(to, rowLength)],
      );
      jobs.push(
        this.#pool.run(calls, options.signal).then((results) => checkFinite(results, firstRow)),
      );
      row += count;
    }
    const memory = [source, target, floats, importance];
    try {
      await Promise.all(jobs);
    } finally {
      // All are waited for: the threads read and write memory that this call keeps alive.
      await Promise.allSettled(jobs);
      memory.length = 0;
    }
    return target;
  }

  /** Requires finite values. @throws {PacelineError} `bad-weights`. */
  async check(type: GgmlType, bytes: Uint8Array): Promise<void> {
    const memory = [bytes];
    const check: NativeCall = ['ggml_validate_row_data', type, addressOf(bytes), bytes.byteLength];
    try {
      checkFinite(await this.#pool.run([check]), 0);
    } finally {
      memory.length = 0;
    }
  }

  dispose(): Promise<void> {
    return this.#pool.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** The first call looks at the source, the last at the result. */
function checkFinite(results: readonly unknown[], firstRow: number): void {
  if (results[results.length - 1] === true) return;
  const source = results.length === 1;
  throw new PacelineError(
    'bad-weights',
    source
      ? `Values that are not finite numbers (in the rows from ${firstRow} on)`
      : `Values that are too large for the type (in the rows from ${firstRow} on)`,
    {
      hint: source
        ? 'The file is damaged; get or convert it again.'
        : 'Choose a type with a larger range, such as BF16.',
      details: { firstRow },
    },
  );
}
