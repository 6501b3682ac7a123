/**
 * Tensors to be written, each described by the rows of a checkpoint's tensors that it is made of, so that it can be
 * read slab by slab. No architecture is known here.
 */
import { PacelineError } from '../base/errors.js';
import { type GgmlType, rowBytes } from '../ggml/types.js';
import type { SafetensorsTensor } from './safetensors.js';

/** Rows of a matrix inside a tensor of a checkpoint. */
export interface MatrixSource {
  readonly tensor: SafetensorsTensor;
  readonly firstRow: number;
}

/** A tensor to be written. */
export interface PlannedTensor {
  readonly name: string;
  readonly type: GgmlType;
  /** In ggml's order. */
  readonly shape: readonly number[];
  /** One for each matrix of `rows` rows. */
  readonly matrices: readonly MatrixSource[];
  readonly rowLength: number;
  readonly rows: number;
  /** Rows of a head whose first and second half are to alternate; undefined: as they are. */
  readonly interleave?: number;
  /** Added to every value; the tensor then is F32. */
  readonly shift?: number;
  /** F32 unless the type that is asked for is quantised. */
  readonly exact?: boolean;
}

/** A tensor as it is, its extents turned round. */
export function plain(name: string, tensor: SafetensorsTensor): PlannedTensor {
  if (tensor.shape.length < 1 || tensor.shape.length > 2) throw wrongShape(name, tensor);
  const shape = [...tensor.shape].reverse();
  const [rowLength = 1, rows = 1] = shape;
  const matrices = [{ tensor, firstRow: 0 }];
  return { name, type: tensor.type, shape, matrices, rowLength, rows };
}

/** The error for a tensor that does not have the shape that the config asks for. */
export function wrongShape(name: string, { shape }: SafetensorsTensor): PacelineError {
  return new PacelineError('wrong-shape', `Tensor ${name} has the shape [${shape.join(', ')}]`, {
    hint: 'config.json does not fit the tensors.',
    details: { tensor: name, shape },
  });
}

/** The error for a tensor that would be left out. */
export function unknown(
  name: string,
  { architecture }: { readonly architecture: string },
): PacelineError {
  return new PacelineError(
    'unsupported-architecture',
    `The checkpoint has a tensor ${name}, which ${architecture} has no place for`,
    {
      hint: 'The model is a variant that cannot be converted: leaving it out would change answers.',
      details: { tensor: name, architecture },
    },
  );
}

/**
 * Fills `target` with rows of a planned tensor from row `first` on, whole rows, in the source's type.
 * @throws {PacelineError} `broken-file`, `io`, `aborted`.
 */
export async function readRows(
  planned: PlannedTensor,
  target: Uint8Array,
  first: number,
  signal?: AbortSignal,
): Promise<void> {
  const { rows, rowLength, type } = planned;
  const bytes = rowBytes(type, rowLength);
  for (let row = first; (row - first) * bytes < target.byteLength; ) {
    const { tensor, firstRow } = planned.matrices[Math.floor(row / rows)] as MatrixSource;
    const within = row % rows;
    const count = Math.min(rows - within, target.byteLength / bytes - (row - first));
    const part = target.subarray((row - first) * bytes, (row - first + count) * bytes);
    const start = tensor.offset + firstRow * bytes;
    if (planned.interleave === undefined) {
      await tensor.source.read(part, start + within * bytes, signal);
    } else {
      await readInterleaved(planned.interleave, part, { tensor, start, bytes, within }, signal);
    }
    row += count;
  }
}

/** Reads the heads that the rows belong to, and picks their rows in the new order. */
async function readInterleaved(
  head: number,
  target: Uint8Array,
  from: { tensor: SafetensorsTensor; start: number; bytes: number; within: number },
  signal: AbortSignal | undefined,
): Promise<void> {
  const { tensor, start, bytes, within } = from;
  const count = target.byteLength / bytes;
  const firstHead = Math.floor(within / head);
  const lastHead = Math.ceil((within + count) / head);
  const heads = new Uint8Array((lastHead - firstHead) * head * bytes);
  await tensor.source.read(heads, start + firstHead * head * bytes, signal);
  for (let row = 0; row < count; row++) {
    const place = within + row - firstHead * head;
    const inHead = place % head;
    const old = place - inHead + (inHead % 2) * (head / 2) + Math.floor(inHead / 2);
    target.set(heads.subarray(old * bytes, (old + 1) * bytes), row * bytes);
  }
}
