/** A backend's memory as its tests want it: counted, and refused from some allocation on. */
import type { Backend } from '../../src/ggml/backend.js';

export interface ScarceMemory extends Disposable {
  /** Buffers of tensors and contexts of headers that were taken since, less those given back. */
  readonly held: number;
  /** Grants so many allocations more, and refuses those after them; undefined: grants all. */
  allow(allocations?: number): void;
  /** Copies of tensors away from the event loop fail from now on. */
  failCopies(): void;
}

type Native = ((...parameters: unknown[]) => unknown) & { async?: unknown };

/** Counts and refuses until it is disposed of. One at a time for a backend. */
export function scarceMemory(backend: Backend): ScarceMemory {
  const { ggml } = backend as unknown as { ggml: { base: Record<string, Native> } };
  const owner = ggml as unknown as Record<string, Native>;
  const { base } = ggml;
  const before = { ...base };
  const { init, free } = owner as { init: Native; free: Native };
  let left = Number.POSITIVE_INFINITY;
  let held = 0;
  const wrap = (name: string, call: (native: Native, parameters: unknown[]) => unknown) => {
    const native = before[name] as Native;
    base[name] = Object.assign((...parameters: unknown[]) => call(native, parameters), native);
  };
  const taking = (native: Native, parameters: unknown[]) => {
    if (left-- <= 0) return 0;
    held++;
    return native(...parameters);
  };
  const giving = (native: Native, parameters: unknown[]) => {
    held--;
    return native(...parameters);
  };
  wrap('ggml_backend_alloc_ctx_tensors_from_buft', taking);
  wrap('ggml_backend_buft_alloc_buffer', taking);
  wrap('ggml_backend_buffer_free', giving);
  owner.init = (...parameters) => {
    const context = init(...parameters);
    held++;
    return context;
  };
  owner.free = (...parameters) => giving(free, parameters);
  return {
    get held() {
      return held;
    },
    allow(allocations = Number.POSITIVE_INFINITY) {
      left = allocations;
    },
    failCopies() {
      const failing = Object.assign(() => undefined, {
        async: (...parameters: unknown[]) =>
          (parameters.at(-1) as (error: Error) => void)(new Error('no copy')),
      });
      base.ggml_backend_tensor_get = failing;
      base.ggml_backend_tensor_set = failing;
    },
    [Symbol.dispose]() {
      Object.assign(base, before);
      Object.assign(owner, { init, free });
    },
  };
}
