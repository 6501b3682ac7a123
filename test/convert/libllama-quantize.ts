/**
 * libllama's own quantiser through FFI, as the oracle of ours. The structure is that of its header at
 * the pinned version.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import { addressOf } from '../../src/ggml/bindings.js';
import { loadGgml } from '../../src/ggml/library.js';

function bind() {
  const { package: source } = loadGgml();
  const file = readdirSync(source.folder).find((name) =>
    /^(lib)?llama(\.v[\d.]+)?\.(so|dylib|dll)$/.test(name),
  );
  if (file === undefined) throw new Error(`No libllama in ${source.folder}`);
  const library = koffi.load(join(source.folder, file));
  // Its messages come from its own threads: a C function that does nothing swallows them.
  library.func('llama_log_set', 'void', ['uintptr_t', 'uintptr_t'])(
    Number(library.symbol('llama_max_devices')),
    0,
  );
  const parameters = koffi.struct({
    nthread: 'int32_t',
    ftype: 'int32_t',
    output_tensor_type: 'int32_t',
    token_embedding_type: 'int32_t',
    allow_requantize: 'bool',
    quantize_output_tensor: 'bool',
    only_copy: 'bool',
    pure: 'bool',
    keep_split: 'bool',
    dry_run: 'bool',
    imatrix: 'uintptr_t',
    kv_overrides: 'uintptr_t',
    tt_overrides: 'uintptr_t',
    prune_layers: 'uintptr_t',
    max_buf_size: 'size_t',
  });
  return {
    defaults: library.func(
      'llama_model_quantize_default_params',
      parameters,
      [],
    ) as () => Parameters,
    quantize: library.func('llama_model_quantize', 'uint32_t', [
      'str',
      'str',
      koffi.pointer(parameters),
    ]) as (input: string, output: string, options: Parameters) => number,
  };
}

type Parameters = Readonly<Record<string, number | boolean>>;

let bound: ReturnType<typeof bind> | undefined;

export interface OracleOptions {
  readonly fileType: number;
  readonly pure?: boolean;
  readonly outputType?: number;
  readonly embeddingType?: number;
  /** Weights of columns by tensor. */
  readonly importance?: ReadonlyMap<string, Float32Array>;
}

/** Quantises with libllama; false when it refuses. */
export function quantizeWithLibllama(
  input: string,
  output: string,
  options: OracleOptions,
): boolean {
  bound ??= bind();
  const names: Buffer[] = [];
  const rows: bigint[] = [];
  for (const [name, weights] of options.importance ?? []) {
    const text = Buffer.alloc(Buffer.byteLength(name) + 1);
    text.write(name);
    names.push(text);
    rows.push(BigInt(addressOf(text)), BigInt(addressOf(weights)), BigInt(weights.length));
  }
  const imatrix = BigUint64Array.from([...rows, 0n, 0n, 0n]);
  const defaults = bound.defaults();
  const result = bound.quantize(input, output, {
    ...defaults,
    nthread: 2,
    ftype: options.fileType,
    pure: options.pure === true,
    output_tensor_type: options.outputType ?? (defaults.output_tensor_type as number),
    token_embedding_type: options.embeddingType ?? (defaults.token_embedding_type as number),
    imatrix: options.importance === undefined ? 0 : addressOf(imatrix),
  });
  return result === 0 && names.length >= 0;
}
