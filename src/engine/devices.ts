/** What computes on this machine, for programs that want to show or check it before loading. */
import { type DeviceList, devices } from '../ggml/devices.js';
import { defaultThreads, type HostMemory, hostMemory, maximumThreads } from '../ggml/host.js';
import { nativeKernels } from '../ggml/native/library.js';

/** Our own kernels: the path that runs, or why none does. */
export type NativeReport =
  | {
      readonly available: true;
      /** The path that runs: `avx512`, `avx2`, `neon`, ... */
      readonly path: string;
      /** All that this machine can run, best first; `PACELINE_CPU` forces one. */
      readonly paths: readonly string[];
      readonly file: string;
    }
  | { readonly available: false; readonly reason: string };

export interface DeviceReport extends DeviceList {
  /** `linux-x64`, as Node.js names platforms. */
  readonly platform: string;
  /** Threads that compute unless told otherwise, and the most that are of use. */
  readonly threads: { readonly default: number; readonly most: number };
  readonly memory: HostMemory;
  readonly native: NativeReport;
}

/**
 * Devices, libraries, kernels and memory of this machine. Loads the libraries of installed GPU
 * packages, which may take a second.
 * @throws {PacelineError} `platform` when no library fits.
 */
export async function listDevices(): Promise<DeviceReport> {
  const list = devices();
  const { kernels, reason } = nativeKernels();
  return {
    platform: `${process.platform}-${process.arch}`,
    threads: { default: defaultThreads(), most: maximumThreads() },
    memory: hostMemory(),
    native:
      kernels === undefined
        ? { available: false, reason }
        : { available: true, path: kernels.path, paths: kernels.paths, file: kernels.file },
    ...list,
  };
}
