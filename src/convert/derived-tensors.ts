/**
 * Tensors that are made of others while they are read: rows and columns in another order, matrices turned
 * round, values of a function. They look like tensors of a file, so that they can be made of one another. Reads are of
 * whole rows. Memory is that of the rows read, or of a matrix where it is turned round.
 */
import { GgmlType, rowBytes } from '../ggml/types.js';
import { floatAt } from './element-values.js';
import type { SafetensorsTensor } from './safetensors.js';

export interface Derivation {
  /** As in a checkpoint: the last extent varies fastest. */
  readonly shape: readonly number[];
  /** Default: that of the tensor it is made of. */
  readonly type?: GgmlType;
  /** Fills `target` with whole rows from row `first` on. */
  read(target: Uint8Array, first: number, signal?: AbortSignal): Promise<void>;
}

const product = (extents: readonly number[]) => extents.reduce((a, b) => a * b, 1);

/** A tensor made of `from`. */
export function derived(
  from: SafetensorsTensor,
  { shape, type = from.type, read }: Derivation,
): SafetensorsTensor {
  const row = rowBytes(type, shape.at(-1) ?? 1);
  const bytes = row * product(shape.slice(0, -1));
  const source = {
    name: from.source.name,
    size: bytes,
    read: (target: Uint8Array, position: number, signal?: AbortSignal) =>
      read(target, position / row, signal),
    // Whoever opened the file closes it.
    close: async () => {},
  };
  const { name, natural } = from;
  return { name, type, shape, offset: 0, bytes, source, ...(natural && { natural }) };
}

/** Fills `target` with rows of a tensor from row `first` on. */
export async function readTensorRows(
  tensor: SafetensorsTensor,
  target: Uint8Array,
  first: number,
  signal?: AbortSignal,
): Promise<void> {
  const row = rowBytes(tensor.type, tensor.shape.at(-1) ?? 1);
  await tensor.source.read(target, tensor.offset + first * row, signal);
}

/**
 * Some rows of a tensor in another order.
 * @param shape of the result, whose last extent is that of the tensor.
 * @param order the row of the tensor that row `r` of the result is.
 */
export function rowsOf(
  tensor: SafetensorsTensor,
  shape: readonly number[],
  order: (row: number) => number,
): SafetensorsTensor {
  const bytes = rowBytes(tensor.type, shape.at(-1) ?? 1);
  return derived(tensor, {
    shape,
    async read(target, first, signal) {
      const count = target.byteLength / bytes;
      for (let row = 0; row < count; ) {
        const start = order(first + row);
        let run = 1;
        while (row + run < count && order(first + row + run) === start + run) run++;
        const part = target.subarray(row * bytes, (row + run) * bytes);
        await readTensorRows(tensor, part, start, signal);
        row += run;
      }
    },
  });
}

/**
 * Some columns of a tensor in another order.
 * @param count of the columns of the result.
 * @param order the column of the tensor that column `c` of the result is.
 */
export function columnsOf(
  tensor: SafetensorsTensor,
  count: number,
  order: (column: number) => number,
): SafetensorsTensor {
  const width = tensor.shape.at(-1) ?? 1;
  const size = rowBytes(tensor.type, 1);
  const columns = Int32Array.from({ length: count }, (_, column) => order(column));
  return derived(tensor, {
    shape: [...tensor.shape.slice(0, -1), count],
    async read(target, first, signal) {
      const rows = target.byteLength / (size * count);
      const source = new Uint8Array(rows * width * size);
      await readTensorRows(tensor, source, first, signal);
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < count; column++) {
          const from = (row * width + (columns[column] as number)) * size;
          const to = (row * count + column) * size;
          for (let byte = 0; byte < size; byte++) target[to + byte] = source[from + byte] as number;
        }
      }
    },
  });
}

/**
 * Columns of each matrix of a tensor [..., rows, columns] as rows: [..., taken columns, rows].
 * @param part which columns are taken: every `step`th from `first` on. Default: all.
 */
export function transposed(
  tensor: SafetensorsTensor,
  { first: begin = 0, step = 1 }: { readonly first?: number; readonly step?: number } = {},
): SafetensorsTensor {
  const [height = 1, width = 1] = tensor.shape.slice(-2);
  const taken = Math.floor((width - begin + step - 1) / step);
  const size = rowBytes(tensor.type, 1);
  return derived(tensor, {
    shape: [...tensor.shape.slice(0, -2), taken, height],
    async read(target, first, signal) {
      const rows = target.byteLength / (size * height);
      const matrix = new Uint8Array(height * width * size);
      const source = elements(matrix, size);
      for (let row = 0; row < rows; ) {
        const within = (first + row) % taken;
        const count = Math.min(rows - row, taken - within);
        const number = Math.floor((first + row) / taken);
        await readTensorRows(tensor, matrix, number * height, signal);
        const turned = elements(new Uint8Array(count * height * size), size);
        turnRound(source, turned, { height, width, first: begin + step * within, step });
        target.set(new Uint8Array(turned.buffer), row * height * size);
        row += count;
      }
    },
  });
}

type Elements = Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** Bytes as elements of 1, 2 or 4, which are moved and not looked at. */
function elements(bytes: Uint8Array<ArrayBuffer>, size: number): Elements {
  if (size === 2) return new Uint16Array(bytes.buffer);
  return size === 4 ? new Uint32Array(bytes.buffer) : bytes;
}

interface Turn {
  readonly height: number;
  readonly width: number;
  readonly first: number;
  readonly step: number;
}

/** Columns that are read together, so that what a processor fetches is used whole. */
const strip = 32;

function turnRound(source: Elements, target: Elements, { height, width, first, step }: Turn): void {
  const rows = target.length / height;
  for (let start = 0; start < rows; start += strip) {
    const end = Math.min(rows, start + strip);
    for (let at = 0; at < height; at++) {
      const line = at * width + first;
      for (let row = start; row < end; row++) {
        target[row * height + at] = source[line + row * step] as number;
      }
    }
  }
}

/** A function of each value, in F32. */
export function valuesOf(
  tensor: SafetensorsTensor,
  compute: (value: number) => number,
): SafetensorsTensor {
  const width = tensor.shape.at(-1) ?? 1;
  return derived(tensor, {
    shape: tensor.shape,
    type: GgmlType.F32,
    async read(target, first, signal) {
      const count = target.byteLength / 4;
      const source = new Uint8Array((count / width) * rowBytes(tensor.type, width));
      await readTensorRows(tensor, source, first, signal);
      const view = new DataView(source.buffer);
      const result = new Float32Array(count);
      for (let at = 0; at < count; at++) result[at] = compute(floatAt(view, at, tensor.type));
      target.set(new Uint8Array(result.buffer));
    },
  });
}
