/**
 * The memory of stored tensors itself, where it is the host's: to read files straight into it, and to
 * give pages that are of no use back to the system. Whoever asks sees to it that the tensor stays.
 */
import koffi from 'koffi';
import type { Backend } from './backend.js';
import { bind } from './bindings.js';
import type { Tensor } from './tensor.js';

/** The largest page that systems use; smaller ones divide it. */
const pageBytes = 65_536;

/**
 * The bytes of a stored tensor; undefined where they are a device's, or where this build of V8 takes
 * no memory from outside.
 */
export function tensorMemory(backend: Backend, tensor: Tensor): Uint8Array | undefined {
  const { base } = backend.ggml;
  if (tensor.place !== undefined) return undefined;
  if (tensor.bytes === 0 || !base.ggml_backend_buft_is_host(backend.bufferType)) return undefined;
  const address = base.ggml_get_data(tensor.address);
  if (address === 0) return undefined;
  try {
    const view = new Uint8Array(koffi.view(address, tensor.bytes));
    // Where V8 keeps memory from outside out, a view is a copy.
    return Number(koffi.address(view.buffer)) === address ? view : undefined;
  } catch {
    return undefined;
  }
}

/** How each system is told that pages may go: `MADV_DONTNEED`, `MADV_FREE`. */
const advice: Partial<Record<NodeJS.Platform, number>> = { linux: 4, darwin: 5 };

/** Whether this platform takes memory back, where it is the host's. */
export const canGiveBack = advice[process.platform] !== undefined;

/** Whether memory of this backend can be given back. */
export function canRelease(backend: Backend): boolean {
  return canGiveBack && backend.ggml.base.ggml_backend_buft_is_host(backend.bufferType);
}

/**
 * Gives the whole pages of the bytes [from, end) back to the system; their contents are lost: they are
 * what they were, or zero.
 */
export function releaseMemory(backend: Backend, tensor: Tensor, from: number, end: number): void {
  const kind = advice[process.platform];
  if (kind === undefined || tensor.place !== undefined || !canRelease(backend)) return;
  const address = backend.ggml.base.ggml_get_data(tensor.address);
  const first = Math.ceil((address + from) / pageBytes) * pageBytes;
  const last = Math.floor((address + end) / pageBytes) * pageBytes;
  if (address !== 0 && last > first) system()?.madvise(first, last - first, kind);
}

const signatures = { madvise: ['int', ['ptr', 'size', 'int']] } as const;
let functions: ReturnType<typeof bind<typeof signatures>> | undefined | null = null;

/** The C library's functions; undefined where the process does not show them. */
function system() {
  if (functions !== null) return functions;
  try {
    functions = bind(koffi.load(null), signatures);
  } catch {
    functions = undefined;
  }
  return functions;
}
