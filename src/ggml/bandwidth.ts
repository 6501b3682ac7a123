/**
 * How fast memory can be read, as a measure for kernels: the C library's own search for a byte that
 * is not there, over pieces of one large block, a thread for each piece. Independent of our kernels.
 */
import koffi from 'koffi';
import { nativeKernels } from './native/library.js';

const libraries: Readonly<Partial<Record<NodeJS.Platform, string>>> = {
  linux: 'libc.so.6',
  darwin: 'libSystem.dylib',
};
/** Far more than caches hold. */
const blockBytes = 2 ** 29;
/** What the block holds, and what is looked for. */
const filler = 0x55;
const absent = 0xaa;

/**
 * The median of several reads by `threads` threads, in gigabytes (10^9 bytes) a second; undefined where
 * it cannot be measured.
 */
export async function readBandwidth(threads: number, rounds = 9): Promise<number | undefined> {
  const file = libraries[process.platform];
  const { kernels } = nativeKernels();
  if (file === undefined || kernels === undefined) return undefined;
  const library = koffi.load(file);
  const parameters = ['uintptr_t', 'int', 'size_t'];
  const fill = library.func('memset', 'uintptr_t', parameters);
  const search = library.func('memchr', 'uintptr_t', parameters);
  const address = kernels.functions.pl_alloc(blockBytes);
  if (address === 0) return undefined;
  try {
    const part = Math.floor(blockBytes / threads / 4096) * 4096;
    const everywhere = (call: typeof search, value: number) =>
      Promise.all(
        Array.from(
          { length: threads },
          (_, index) =>
            new Promise<void>((resolve, reject) => {
              call.async(address + index * part, value, part, (error: Error | null) =>
                error ? reject(error) : resolve(),
              );
            }),
        ),
      );
    await everywhere(fill, filler);
    const rates: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const start = performance.now();
      await everywhere(search, absent);
      const seconds = (performance.now() - start) / 1000;
      rates.push((part * threads) / seconds / 1e9);
    }
    return rates.sort((a, b) => a - b)[rounds >> 1];
  } finally {
    kernels.functions.pl_free(address, blockBytes);
  }
}
