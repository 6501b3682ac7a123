/** Sums up the parts of a block without holding up the event loop: on another thread where that can be. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { addressOf } from '../../ggml/bindings.js';
import { nativeKernels } from '../../ggml/native/library.js';
import type { Checksum, TakeLanes } from './checksum.js';

/** Bytes that are summed up between two turns of the event loop. */
const pieceBytes = 1 << 20;
/** For fewer, a call on another thread takes longer than the sum. */
const worthCalling = 1 << 16;

/** Takes note of all bytes. Whoever calls sees to it that their memory stays until then. */
export async function sumUp(sum: Checksum, parts: readonly Uint8Array[]): Promise<void> {
  const bytes = parts.reduce((total, { byteLength }) => total + byteLength, 0);
  const take = bytes < worthCalling ? undefined : nativeLanes();
  if (take !== undefined && (await sum.updateBy(parts, take))) return;
  for (const part of parts) {
    for (let at = 0; at < part.byteLength; at += pieceBytes) {
      sum.update(part.subarray(at, at + pieceBytes));
      if (at + pieceBytes < part.byteLength) await nextTurn();
    }
  }
}

/** The kernel for it; undefined where there are no native kernels. */
function nativeLanes(): TakeLanes | undefined {
  const call = nativeKernels().kernels?.functions.pl_checksum;
  if (call === undefined) return undefined;
  return (parts, lanes) => {
    const addresses = BigUint64Array.from(parts, (part) => BigInt(addressOf(part)));
    const lengths = BigInt64Array.from(parts, ({ byteLength }) => BigInt(byteLength));
    return new Promise((resolve, reject) => {
      call.async(addresses, lengths, parts.length, lanes, (error) =>
        error ? reject(error) : resolve(),
      );
    });
  };
}
