/**
 * Tensors on their way into a file in another type: read in slabs of rows, converted on all threads,
 * handed to the writer. Memory is that of two slabs, however large a tensor is.
 */
import { PacelineError, throwIfAborted } from '../base/errors.js';
import type { RowConverter } from '../ggml/row-converter.js';
import { trimShape } from '../ggml/tensor.js';
import { isQuantized, rowBytes, typeName } from '../ggml/types.js';
import type { GgufTensorToWrite } from '../gguf/writer.js';
import type { ChosenType } from './tensor-types.js';

/** Where the bytes of tensors come from, in their own type. */
export interface TensorReader {
  /** Fills `target` with bytes of the tensor from byte `start` on, whole rows. */
  read(tensor: ChosenType, target: Uint8Array, start: number): Promise<void>;
}

export interface TensorsToWriteOptions {
  readonly reader: TensorReader;
  readonly converter: RowConverter;
  /** Weights of a tensor's columns, or undefined. */
  readonly importance?: (tensor: ChosenType) => Float32Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Elements of a slab: 32 MiB as F32. */
const slabElements = 8 * 2 ** 20;

/** The tensors as the writer takes them; nothing is read before it asks. */
export function tensorsToWrite(
  chosen: readonly ChosenType[],
  options: TensorsToWriteOptions,
): GgufTensorToWrite[] {
  return chosen.map((tensor) => ({
    name: tensor.name,
    type: tensor.target,
    shape: trimShape(tensor.shape),
    data: () => slabs(tensor, options),
  }));
}

async function* slabs(
  tensor: ChosenType,
  { reader, converter, importance, signal }: TensorsToWriteOptions,
): AsyncGenerator<Uint8Array> {
  const { shape, type: from, target: to } = tensor;
  const [rowLength = 1, matrixRows = 1, ...others] = shape;
  const rows = matrixRows * others.reduce((a, b) => a * b, 1);
  const sourceRow = rowBytes(from, rowLength);
  const most = Math.max(1, Math.floor(slabElements / rowLength));
  const weights = to === from ? undefined : importance?.(tensor);
  for (let firstRow = 0; firstRow < rows; firstRow += most) {
    throwIfAborted(signal);
    const source = new Uint8Array(Math.min(most, rows - firstRow) * sourceRow);
    await reader.read(tensor, source, firstRow * sourceRow);
    const position = { rowLength, source, firstRow, matrixRows, importance: weights };
    try {
      if (to === from) {
        await converter.check(from, source);
        yield source;
      } else {
        yield await converter.convert({ from, to, signal, ...position });
      }
    } catch (error) {
      throw named(error, tensor);
    }
  }
}

/** Says of which tensor an error is. */
function named(error: unknown, { name }: ChosenType): unknown {
  if (!PacelineError.is(error) || error.code === 'aborted') return error;
  return new PacelineError(error.code, `Tensor ${name}: ${error.message}`, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    details: { ...error.details, tensor: name },
    cause: error,
  });
}

/**
 * Refuses to quantise what was quantised before, which costs far more than either step alone.
 * @throws {PacelineError} `usage`.
 */
export function refuseRequantizing(chosen: readonly ChosenType[]): void {
  const found = chosen.find(({ type, target }) => target !== type && isQuantized(type));
  if (found === undefined) return;
  throw new PacelineError(
    'usage',
    `Tensor ${found.name} is quantised already: ${typeName(found.type)}`,
    {
      hint: 'Start from the F32, F16 or BF16 model, or accept the loss with --allow-requantize.',
      details: { tensor: found.name, type: typeName(found.type) },
    },
  );
}
