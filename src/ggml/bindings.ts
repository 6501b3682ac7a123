/**
 * The C functions of ggml that Paceline calls, each written once: the table gives name, result and
 * parameters, and the TypeScript types follow from it. Pointers are plain numbers (`uintptr_t`).
 * Knows nothing of where the libraries are or what the functions are used for.
 */
import koffi from 'koffi';

interface NativeTypes {
  void: undefined;
  /** An address. */
  ptr: number;
  /** Memory of a typed array, passed without a copy; the callee may write to it. */
  mem: ArrayBufferView;
  str: string | null;
  bool: boolean;
  int: number;
  int64: number;
  size: number;
  float: number;
}
type NativeType = keyof NativeTypes;

const koffiTypes: Readonly<Record<NativeType, string>> = {
  void: 'void',
  ptr: 'uintptr_t',
  mem: 'void *',
  str: 'const char *',
  bool: 'bool',
  int: 'int',
  int64: 'int64_t',
  size: 'size_t',
  float: 'float',
};

type Signature = readonly [result: NativeType, parameters: readonly NativeType[]];
export type Signatures = Readonly<Record<string, Signature>>;

type Arguments<P extends readonly NativeType[]> = {
  -readonly [I in keyof P]: NativeTypes[P[I]];
};

/** A C function as JavaScript sees it. `async` runs it on a worker thread. */
export interface NativeFunction<S extends Signature> {
  (...parameters: Arguments<S[1]>): NativeTypes[S[0]];
  readonly async: (
    ...parameters: [...Arguments<S[1]>, (error: Error | null, result: NativeTypes[S[0]]) => void]
  ) => void;
}

/** The functions of a table of signatures. */
export type Bindings<T extends Signatures> = { readonly [K in keyof T]: NativeFunction<T[K]> };

export type NativeLibrary = ReturnType<typeof koffi.load>;

/** Declares every function of `signatures` as found in `library`. @throws when one is missing. */
export function bind<T extends Signatures>(library: NativeLibrary, signatures: T): Bindings<T> {
  const functions: Record<string, unknown> = {};
  for (const [name, [result, parameters]] of Object.entries(signatures)) {
    functions[name] = library.func(
      name,
      koffiTypes[result],
      parameters.map((parameter) => koffiTypes[parameter]),
    );
  }
  return functions as Bindings<T>;
}

/** Name, result and parameters of a function in koffi's words: what a thread needs to declare it. */
export type NativeDeclaration = readonly [name: string, result: string, parameters: string[]];

/** A table of signatures as declarations. */
export function declarationsOf(signatures: Signatures): NativeDeclaration[] {
  return Object.entries(signatures).map(([name, [result, parameters]]) => [
    name,
    koffiTypes[result],
    parameters.map((parameter) => koffiTypes[parameter]),
  ]);
}

/** libggml-base: contexts, tensors, graphs, buffers. */
export const baseSignatures = {
  ggml_version: ['str', []],
  ggml_log_set: ['void', ['ptr', 'ptr']],
  ggml_free: ['void', ['ptr']],
  ggml_reset: ['void', ['ptr']],
  ggml_set_no_alloc: ['void', ['ptr', 'bool']],
  ggml_tensor_overhead: ['size', []],
  ggml_graph_overhead_custom: ['size', ['size', 'bool']],
  ggml_new_graph_custom: ['ptr', ['ptr', 'size', 'bool']],
  ggml_build_forward_expand: ['void', ['ptr', 'ptr']],
  ggml_graph_n_nodes: ['int', ['ptr']],
  ggml_graph_node: ['ptr', ['ptr', 'int']],
  ggml_graph_add_node: ['void', ['ptr', 'ptr']],
  ggml_graph_clear: ['void', ['ptr']],
  ggml_set_name: ['ptr', ['ptr', 'str']],
  ggml_set_input: ['void', ['ptr']],
  ggml_set_output: ['void', ['ptr']],
  ggml_get_data: ['ptr', ['ptr']],
  ggml_nbytes: ['size', ['ptr']],
  ggml_validate_row_data: ['bool', ['int', 'mem', 'size']],
  ggml_quantize_chunk: ['size', ['int', 'mem', 'mem', 'int64', 'int64', 'int64', 'ptr']],
  ggml_quantize_requires_imatrix: ['bool', ['int']],
  ggml_new_tensor_4d: ['ptr', ['ptr', 'int', 'int64', 'int64', 'int64', 'int64']],
  ggml_view_4d: [
    'ptr',
    ['ptr', 'ptr', 'int64', 'int64', 'int64', 'int64', 'size', 'size', 'size', 'size'],
  ],
  ggml_reshape_4d: ['ptr', ['ptr', 'ptr', 'int64', 'int64', 'int64', 'int64']],
  ggml_permute: ['ptr', ['ptr', 'ptr', 'int', 'int', 'int', 'int']],
  ggml_cont: ['ptr', ['ptr', 'ptr']],
  ggml_cpy: ['ptr', ['ptr', 'ptr', 'ptr']],
  ggml_cast: ['ptr', ['ptr', 'ptr', 'int']],
  ggml_concat: ['ptr', ['ptr', 'ptr', 'ptr', 'int']],
  ggml_add: ['ptr', ['ptr', 'ptr', 'ptr']],
  ggml_sub: ['ptr', ['ptr', 'ptr', 'ptr']],
  ggml_mul: ['ptr', ['ptr', 'ptr', 'ptr']],
  ggml_div: ['ptr', ['ptr', 'ptr', 'ptr']],
  ggml_scale: ['ptr', ['ptr', 'ptr', 'float']],
  ggml_clamp: ['ptr', ['ptr', 'ptr', 'float', 'float']],
  ggml_silu: ['ptr', ['ptr', 'ptr']],
  ggml_gelu: ['ptr', ['ptr', 'ptr']],
  ggml_sigmoid: ['ptr', ['ptr', 'ptr']],
  ggml_tanh: ['ptr', ['ptr', 'ptr']],
  ggml_swiglu_split: ['ptr', ['ptr', 'ptr', 'ptr']],
  ggml_geglu_split: ['ptr', ['ptr', 'ptr', 'ptr']],
  ggml_swiglu_oai: ['ptr', ['ptr', 'ptr', 'ptr', 'float', 'float']],
  ggml_add_id: ['ptr', ['ptr', 'ptr', 'ptr', 'ptr']],
  ggml_norm: ['ptr', ['ptr', 'ptr', 'float']],
  ggml_rms_norm: ['ptr', ['ptr', 'ptr', 'float']],
  ggml_sum_rows: ['ptr', ['ptr', 'ptr']],
  ggml_argsort_top_k: ['ptr', ['ptr', 'ptr', 'int']],
  ggml_top_k: ['ptr', ['ptr', 'ptr', 'int']],
  ggml_mul_mat: ['ptr', ['ptr', 'ptr', 'ptr']],
  ggml_mul_mat_id: ['ptr', ['ptr', 'ptr', 'ptr', 'ptr']],
  ggml_get_rows: ['ptr', ['ptr', 'ptr', 'ptr']],
  ggml_set_rows: ['ptr', ['ptr', 'ptr', 'ptr', 'ptr']],
  ggml_soft_max_ext: ['ptr', ['ptr', 'ptr', 'ptr', 'float', 'float']],
  ggml_rope_ext: [
    'ptr',
    [
      'ptr',
      'ptr',
      'ptr',
      'ptr',
      'int',
      'int',
      'int',
      'float',
      'float',
      'float',
      'float',
      'float',
      'float',
    ],
  ],
  ggml_flash_attn_ext: ['ptr', ['ptr', 'ptr', 'ptr', 'ptr', 'ptr', 'float', 'float', 'float']],
  ggml_flash_attn_ext_add_sinks: ['void', ['ptr', 'ptr']],
  ggml_custom_4d: [
    'ptr',
    ['ptr', 'int', 'int64', 'int64', 'int64', 'int64', 'mem', 'int', 'ptr', 'int', 'ptr'],
  ],
  ggml_gallocr_new: ['ptr', ['ptr']],
  ggml_gallocr_free: ['void', ['ptr']],
  ggml_gallocr_reserve: ['bool', ['ptr', 'ptr']],
  ggml_gallocr_alloc_graph: ['bool', ['ptr', 'ptr']],
  ggml_gallocr_get_buffer_size: ['size', ['ptr', 'int']],
  ggml_backend_alloc_ctx_tensors_from_buft: ['ptr', ['ptr', 'ptr']],
  ggml_backend_alloc_ctx_tensors_from_buft_size: ['size', ['ptr', 'ptr']],
  ggml_backend_cpu_buffer_type: ['ptr', []],
  ggml_backend_buft_alloc_buffer: ['ptr', ['ptr', 'size']],
  ggml_backend_buffer_free: ['void', ['ptr']],
  ggml_backend_buffer_get_size: ['size', ['ptr']],
  ggml_backend_buffer_set_usage: ['void', ['ptr', 'int']],
  ggml_backend_buffer_clear: ['void', ['ptr', 'int']],
  ggml_backend_buft_is_host: ['bool', ['ptr']],
  ggml_backend_tensor_set: ['void', ['ptr', 'mem', 'size', 'size']],
  ggml_backend_tensor_get: ['void', ['ptr', 'mem', 'size', 'size']],
  ggml_backend_tensor_copy: ['void', ['ptr', 'ptr']],
  ggml_backend_view_init: ['int', ['ptr']],
  ggml_backend_graph_compute: ['int', ['ptr', 'ptr']],
  ggml_backend_free: ['void', ['ptr']],
  ggml_backend_get_default_buffer_type: ['ptr', ['ptr']],
  ggml_backend_dev_name: ['str', ['ptr']],
  ggml_backend_dev_description: ['str', ['ptr']],
  ggml_backend_dev_memory: ['void', ['ptr', 'mem', 'mem']],
  ggml_backend_dev_type: ['int', ['ptr']],
  ggml_backend_dev_init: ['ptr', ['ptr', 'str']],
  ggml_backend_dev_host_buffer_type: ['ptr', ['ptr']],
  ggml_backend_dev_supports_op: ['bool', ['ptr', 'ptr']],
  ggml_backend_sched_new: ['ptr', ['mem', 'mem', 'int', 'size', 'bool', 'bool']],
  ggml_backend_sched_free: ['void', ['ptr']],
  ggml_backend_sched_reset: ['void', ['ptr']],
  ggml_backend_sched_alloc_graph: ['bool', ['ptr', 'ptr']],
  ggml_backend_sched_graph_compute: ['int', ['ptr', 'ptr']],
  ggml_backend_sched_get_n_splits: ['int', ['ptr']],
  ggml_backend_sched_get_buffer_size: ['size', ['ptr', 'ptr']],
  ggml_backend_reg_name: ['str', ['ptr']],
  ggml_backend_reg_dev_count: ['size', ['ptr']],
  ggml_backend_reg_dev_get: ['ptr', ['ptr', 'size']],
  ggml_backend_reg_get_proc_address: ['ptr', ['ptr', 'str']],
} as const satisfies Signatures;

/** libggml: the registry of backends. */
export const registrySignatures = {
  ggml_backend_load: ['ptr', ['str']],
} as const satisfies Signatures;

/** libggml-cpu: what only the CPU backend has. */
export const cpuSignatures = {
  ggml_threadpool_new: ['ptr', ['mem']],
  ggml_threadpool_free: ['void', ['ptr']],
  ggml_backend_cpu_set_n_threads: ['void', ['ptr', 'int']],
  ggml_backend_cpu_set_threadpool: ['void', ['ptr', 'ptr']],
  ggml_backend_cpu_set_abort_callback: ['void', ['ptr', 'ptr', 'ptr']],
} as const satisfies Signatures;

/** `ggml_init` takes a struct by value, so it stands apart from the table. */
export function bindInit(
  library: NativeLibrary,
): (memoryBytes: number, memoryAddress: number) => number {
  const parameters = koffi.struct({ size: 'size_t', buffer: 'uintptr_t', noAlloc: 'bool' });
  const init = library.func('ggml_init', 'uintptr_t', [parameters]);
  return (size, buffer) => init({ size, buffer, noAlloc: true }) as number;
}

/** Address of a buffer or of a view's first byte; the caller keeps it alive as long as it is used. */
export function addressOf(memory: ArrayBuffer | ArrayBufferView): number {
  if (!ArrayBuffer.isView(memory)) return Number(koffi.address(memory));
  return Number(koffi.address(memory.buffer)) + memory.byteOffset;
}

/** Loads a shared library and keeps it loaded. */
export function openLibrary(path: string): NativeLibrary {
  return koffi.load(path);
}

/** Address of an exported function, for use as a callback from C to C. */
export function symbolAddress(library: NativeLibrary, name: string): number {
  return Number(library.symbol(name));
}

/** The name and value pairs of a null-terminated array of `{ const char *name, *value; }`. */
export function readFeatureList(address: number): ReadonlyMap<string, string> {
  const features = new Map<string, string>();
  for (let at = BigInt(address); at !== 0n; at += 16n) {
    const [name, value] = koffi.decode(at, 'uintptr_t', 2) as number[];
    if (!name || !value) break;
    features.set(koffi.decode.string(BigInt(name)), koffi.decode.string(BigInt(value)));
  }
  return features;
}

/** Calls a C function without parameters at `address` that returns a pointer or takes one. */
export function callPointerFunction(address: number, argument: number): number {
  const type = koffi.proto('uintptr_t', ['uintptr_t']);
  return koffi.call(BigInt(address), type, argument) as number;
}
