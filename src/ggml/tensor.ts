/**
 * A tensor as TypeScript sees it: where its header is, its type, extents and strides, and a name for
 * messages. All of it is known without asking the library, so a check costs no call.
 */
import type { Accelerator } from './accelerator.js';
import { type GgmlType, rowBytes, typeName, typeTraits } from './types.js';

/** Extents `ne` or strides `nb` in ggml's order: the first varies fastest in memory. */
export type Four = readonly [number, number, number, number];

export class Tensor {
  #label: string | undefined;

  constructor(
    /** Address of the `ggml_tensor`. */
    readonly address: number,
    readonly type: GgmlType,
    readonly shape: Four,
    /** Bytes from one element (or block) to the next, by axis. */
    readonly strides: Four,
    /** The operation that makes it, or how it came to be: `mul_mat`, `input`, `weight`. */
    readonly operation: string,
    /** What it is computed from; only for names in messages. */
    readonly sources: readonly Tensor[] = [],
    /** Whether our own kernels make it, not ggml's. */
    readonly native = false,
    /** The card whose memory a stored tensor is in; undefined: the host's, or not stored. */
    readonly place?: Accelerator | undefined,
  ) {}

  /** Gives the tensor a name for messages and returns it. */
  named(label: string): this {
    this.#label = label;
    return this;
  }

  /** Its name, or what it is computed from: `mul_mat(blk.0.attn_q.weight, attn_norm-0)`. */
  get name(): string {
    if (this.#label !== undefined) return this.#label;
    return `${this.operation}(${this.sources.map((source) => source.shortName).join(', ')})`;
  }

  private get shortName(): string {
    return this.#label ?? `${this.operation}(...)`;
  }

  get elements(): number {
    return this.shape[0] * this.shape[1] * this.shape[2] * this.shape[3];
  }

  /** Bytes from the first element to the end of the last, as ggml counts them. */
  get bytes(): number {
    const { blockSize, blockBytes } = typeTraits(this.type);
    const [e0, e1, e2, e3] = this.shape;
    const [s0, s1, s2, s3] = this.strides;
    if (this.elements === 0) return 0;
    const row = blockSize === 1 ? blockBytes + (e0 - 1) * s0 : (e0 * s0) / blockSize;
    return row + (e1 - 1) * s1 + (e2 - 1) * s2 + (e3 - 1) * s3;
  }

  /** No gaps and no permutation. */
  get contiguous(): boolean {
    return this.contiguousFrom(0);
  }

  /** Elements of a row lie side by side. */
  get rowContiguous(): boolean {
    return this.shape[0] === 1 || this.strides[0] === typeTraits(this.type).blockBytes;
  }

  /** Contiguous but that rows (`axis` 1) or slices (`axis` 2) may be spaced out. */
  contiguousFrom(axis: 0 | 1 | 2): boolean {
    if (!this.rowContiguous) return false;
    let next = rowBytes(this.type, this.shape[0]);
    for (let at = 1; at < 4; at++) {
      const extent = this.shape[at as 1 | 2 | 3];
      const stride = this.strides[at as 1 | 2 | 3];
      if (extent === 1) continue;
      if (at > axis && stride !== next) return false;
      next = at > axis ? next * extent : extent * stride;
    }
    return true;
  }

  toString(): string {
    return `${this.name} ${typeName(this.type)} [${trimShape(this.shape).join(', ')}]`;
  }
}

/** Strides of a contiguous tensor. */
export function contiguousStrides(type: GgmlType, shape: Four): Four {
  const s1 = rowBytes(type, shape[0]);
  const s2 = s1 * shape[1];
  return [typeTraits(type).blockBytes, s1, s2, s2 * shape[2]];
}

/** One to four extents as four. */
export function fourOf(shape: readonly number[]): Four {
  return [shape[0] ?? 1, shape[1] ?? 1, shape[2] ?? 1, shape[3] ?? 1];
}

/** A shape without its trailing ones, at least one extent long. */
export function trimShape(shape: readonly number[]): readonly number[] {
  let length = shape.length;
  while (length > 1 && shape[length - 1] === 1) length--;
  return shape.slice(0, length);
}
