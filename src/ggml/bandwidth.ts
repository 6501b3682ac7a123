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
const pageBytes = 4096;
const readsEach = 3;
/** What the block holds, and what is looked for. */
const filler = 0x55;
const absent = 0xaa;

type Search = (address: number, value: number, bytes: number) => Promise<void>;

/** Holds the block, so that reads can take turns with what is compared with them. */
export class ReadMeter implements Disposable {
  readonly #address: number;
  readonly #threads: number;
  readonly #search: Search;

  private constructor(address: number, threads: number, search: Search) {
    this.#address = address;
    this.#threads = threads;
    this.#search = search;
  }

  /** Undefined where reads cannot be measured: no such function, or no memory for the block. */
  static async open(threads: number): Promise<ReadMeter | undefined> {
    const file = libraries[process.platform];
    const { kernels } = nativeKernels();
    if (file === undefined || kernels === undefined) return undefined;
    const library = koffi.load(file);
    const address = kernels.functions.pl_alloc(blockBytes);
    if (address === 0) return undefined;
    const meter = new ReadMeter(address, threads, asynchronous(library, 'memchr'));
    // Pages that were never written would all be read from one page of zeros.
    await meter.#everywhere(asynchronous(library, 'memset'), filler);
    return meter;
  }

  /**
   * The best of some reads of the whole block by all threads, in gigabytes (10^9 bytes) a second: in
   * others the system had both threads on one core.
   */
  async measure(): Promise<number> {
    let best = 0;
    for (let read = 0; read < readsEach; read++) {
      const start = performance.now();
      const bytes = await this.#everywhere(this.#search, absent);
      best = Math.max(best, bytes / (performance.now() - start) / 1e6);
    }
    return best;
  }

  async #everywhere(call: Search, value: number): Promise<number> {
    const part = Math.floor(blockBytes / this.#threads / pageBytes) * pageBytes;
    const pieces = Array.from(
      { length: this.#threads },
      (_, index) => this.#address + index * part,
    );
    await Promise.all(pieces.map((address) => call(address, value, part)));
    return part * this.#threads;
  }

  [Symbol.dispose](): void {
    nativeKernels().kernels?.functions.pl_free(this.#address, blockBytes);
  }
}

function asynchronous(library: ReturnType<typeof koffi.load>, name: string): Search {
  const call = library.func(name, 'uintptr_t', ['uintptr_t', 'int', 'size_t']);
  return (address, value, bytes) =>
    new Promise((resolve, reject) => {
      call.async(address, value, bytes, (error: Error | null) =>
        error ? reject(error) : resolve(),
      );
    });
}
