/**
 * How fast memory can be read, as a measure for kernels: plain reads of pieces of one large block, in
 * several streams, a thread for each piece.
 */
import { type NativeKernels, nativeKernels } from './native/library.js';

/** Far more than caches hold. */
const blockBytes = 2 ** 29;
const pageBytes = 4096;
const readsEach = 3;

type Functions = NativeKernels['functions'];

/** Holds the block, so that reads can take turns with what is compared with them. */
export class ReadMeter implements Disposable {
  readonly #functions: Functions;
  readonly #address: number;
  readonly #threads: number;

  private constructor(functions: Functions, address: number, threads: number) {
    this.#functions = functions;
    this.#address = address;
    this.#threads = threads;
  }

  /** Undefined where reads cannot be measured: no native kernels, or no memory for the block. */
  static async open(threads: number): Promise<ReadMeter | undefined> {
    const functions = nativeKernels().kernels?.functions;
    const address = functions?.pl_alloc(blockBytes) ?? 0;
    if (functions === undefined || address === 0) return undefined;
    const meter = new ReadMeter(functions, address, threads);
    await meter.#everywhere(functions.pl_fill_memory);
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
      const bytes = await this.#everywhere(this.#functions.pl_read_memory);
      best = Math.max(best, bytes / (performance.now() - start) / 1e6);
    }
    return best;
  }

  async #everywhere(
    call: Functions['pl_fill_memory'] | Functions['pl_read_memory'],
  ): Promise<number> {
    const part = Math.floor(blockBytes / this.#threads / pageBytes) * pageBytes;
    await Promise.all(
      Array.from(
        { length: this.#threads },
        (_, index) =>
          new Promise<void>((resolve, reject) => {
            call.async(this.#address + index * part, part, (error) =>
              error ? reject(error) : resolve(),
            );
          }),
      ),
    );
    return part * this.#threads;
  }

  [Symbol.dispose](): void {
    this.#functions.pl_free(this.#address, blockBytes);
  }
}
