/**
 * MXFP4 of checkpoints (OCP Microscaling Formats 1.0) as ggml's: a block's scale, then its codes, of which ggml
 * pairs those half a block apart, and checkpoints neighbours. No value changes.
 */
import { GgmlType, rowBytes } from '../ggml/types.js';
import { derived, readTensorRows } from './derived-tensors.js';
import { wrongShape } from './planned-tensors.js';
import type { SafetensorsTensor } from './safetensors.js';

/** Elements that share a scale, and the bytes of their codes. */
const blockLength = 32;
const codeBytes = blockLength / 2;

/** Rows that are taken of each matrix: every `step`th from `first` on. */
export interface Rows {
  readonly first: number;
  readonly step: number;
}

/**
 * Codes [..., rows, columns / 2] and scales [..., rows, columns / 32] as matrices [..., rows, columns].
 * @param part default: all rows.
 * @throws {PacelineError} `wrong-shape` where they do not fit one another.
 */
export function mxfp4(
  codes: SafetensorsTensor,
  scales: SafetensorsTensor,
  { first: begin, step }: Rows = { first: 0, step: 1 },
): SafetensorsTensor {
  const [rows = 0, width = 0] = codes.shape.slice(-2);
  const blocks = width / codeBytes;
  const outer = codes.shape.slice(0, -2);
  const bytes = codes.type === GgmlType.I8 && scales.type === GgmlType.I8;
  if (!bytes || String(scales.shape) !== String([...outer, rows, blocks])) {
    throw wrongShape(codes.name, codes);
  }
  const taken = Math.floor((rows - begin + step - 1) / step);
  const size = rowBytes(GgmlType.MXFP4, blocks * blockLength);
  return derived(codes, {
    shape: [...outer, taken, blocks * blockLength],
    type: GgmlType.MXFP4,
    async read(target, first, signal) {
      const wanted = target.byteLength / size;
      for (let row = 0; row < wanted; ) {
        const matrix = Math.floor((first + row) / taken);
        const within = (first + row) % taken;
        const run = Math.min(wanted - row, taken - within);
        const from = matrix * rows + begin + step * within;
        const span = (run - 1) * step + 1;
        const packed = new Uint8Array(span * width);
        const powers = new Uint8Array(span * blocks);
        await readTensorRows(codes, packed, from, signal);
        await readTensorRows(scales, powers, from, signal);
        for (let at = 0; at < run; at++) {
          const part = target.subarray((row + at) * size, (row + at + 1) * size);
          const place = at * step;
          repack(part, packed.subarray(place * width), powers.subarray(place * blocks));
        }
        row += run;
      }
    },
  });
}

/** A row of ggml's blocks from codes and scales of a checkpoint. */
function repack(target: Uint8Array, codes: Uint8Array, scales: Uint8Array): void {
  const blocks = target.byteLength / (1 + codeBytes);
  const codeAt = (block: number, at: number): number => {
    const byte = codes[block * codeBytes + (at >> 1)] as number;
    return at % 2 === 0 ? byte & 15 : byte >> 4;
  };
  for (let block = 0; block < blocks; block++) {
    const to = block * (1 + codeBytes);
    target[to] = scales[block] as number;
    for (let at = 0; at < codeBytes; at++) {
      target[to + 1 + at] = codeAt(block, at) | (codeAt(block, at + codeBytes) << 4);
    }
  }
}
