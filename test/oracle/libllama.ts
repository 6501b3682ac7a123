/**
 * libllama through FFI, as the oracle of the tests: it comes in the same package as our ggml and
 * computes the same file. The structures are those of its header at the pinned version.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import { loadGgml } from '../../src/ggml/library.js';
import { GgmlType } from '../../src/ggml/types.js';

type Fields = Record<string, number | boolean>;

const pointer = 'uintptr_t';

function bind() {
  const { package: source } = loadGgml();
  const file = readdirSync(source.folder).find((name) =>
    /^(lib)?llama(\.v[\d.]+)?\.(so|dylib|dll)$/.test(name),
  );
  if (file === undefined) throw new Error(`No libllama in ${source.folder}`);
  const library = koffi.load(join(source.folder, file));
  // Its messages come from its own threads too: a C function that does nothing swallows them.
  library.func('llama_log_set', 'void', [pointer, pointer])(
    Number(library.symbol('llama_max_devices')),
    0,
  );
  const modelParams = koffi.struct({
    devices: pointer,
    tensor_buft_overrides: pointer,
    n_gpu_layers: 'int32_t',
    split_mode: 'int32_t',
    load_mode: 'int32_t',
    lazy_mode: 'int32_t',
    main_gpu: 'int32_t',
    tensor_split: pointer,
    progress_callback: pointer,
    progress_callback_user_data: pointer,
    kv_overrides: pointer,
    vocab_only: 'bool',
    check_tensors: 'bool',
    use_extra_bufts: 'bool',
    no_host: 'bool',
    no_alloc: 'bool',
    load_mtp: 'bool',
  });
  const contextParams = koffi.struct({
    n_ctx: 'uint32_t',
    n_batch: 'uint32_t',
    n_ubatch: 'uint32_t',
    n_seq_max: 'uint32_t',
    n_rs_seq: 'uint32_t',
    n_outputs_max: 'uint32_t',
    n_outputs_max_per_seq: 'uint32_t',
    n_threads: 'int32_t',
    n_threads_batch: 'int32_t',
    ctx_type: 'int32_t',
    rope_scaling_type: 'int32_t',
    pooling_type: 'int32_t',
    attention_type: 'int32_t',
    flash_attn_type: 'int32_t',
    rope_freq_base: 'float',
    rope_freq_scale: 'float',
    yarn_ext_factor: 'float',
    yarn_attn_factor: 'float',
    yarn_beta_fast: 'float',
    yarn_beta_slow: 'float',
    yarn_orig_ctx: 'uint32_t',
    defrag_thold: 'float',
    cb_eval: pointer,
    cb_eval_user_data: pointer,
    type_k: 'int32_t',
    type_v: 'int32_t',
    abort_callback: pointer,
    abort_callback_data: pointer,
    embeddings: 'bool',
    offload_kqv: 'bool',
    no_perf: 'bool',
    op_offload: 'bool',
    swa_full: 'bool',
    kv_unified: 'bool',
    samplers: pointer,
    n_samplers: 'size_t',
    ctx_other: pointer,
  });
  const batch = koffi.struct({
    n_tokens: 'int32_t',
    token: 'int32_t *',
    embd: pointer,
    pos: 'int32_t *',
    n_seq_id: pointer,
    seq_id: pointer,
    logits: 'int8_t *',
  });
  const rowBatch = koffi.struct({
    n_tokens: 'int32_t',
    token: pointer,
    embd: 'float *',
    pos: 'int32_t *',
    n_seq_id: pointer,
    seq_id: pointer,
    logits: 'int8_t *',
  });
  return {
    modelDefaults: library.func('llama_model_default_params', modelParams, []) as () => Fields,
    contextDefaults: library.func(
      'llama_context_default_params',
      contextParams,
      [],
    ) as () => Fields,
    loadModel: library.func('llama_model_load_from_file', pointer, ['str', modelParams]),
    freeModel: library.func('llama_model_free', 'void', [pointer]),
    newContext: library.func('llama_init_from_model', pointer, [pointer, contextParams]),
    freeContext: library.func('llama_free', 'void', [pointer]),
    vocabSize: library.func('llama_vocab_n_tokens', 'int32_t', [pointer]),
    vocab: library.func('llama_model_get_vocab', pointer, [pointer]),
    decode: library.func('llama_decode', 'int32_t', [pointer, batch]),
    memory: library.func('llama_get_memory', pointer, [pointer]),
    clear: library.func('llama_memory_clear', 'void', [pointer, 'bool']),
    pooled: library.func('llama_get_embeddings_seq', pointer, [pointer, 'int32_t']),
    logits: library.func('llama_get_logits_ith', pointer, [pointer, 'int32_t']),
    decodeRows: library.func('llama_decode', 'int32_t', [pointer, rowBatch]),
    setCausal: library.func('llama_set_causal_attn', 'void', [pointer, 'bool']),
    // What drafters say besides logits is not in the library's C interface: names of C++ as on Linux.
    setNextn: () =>
      library.func('_Z26llama_set_embeddings_nextnP13llama_contextbb', 'void', [
        ...[pointer, 'bool', 'bool'],
      ]),
    nextn: () => library.func('_Z26llama_get_embeddings_nextnP13llama_context', pointer, [pointer]),
  };
}

let bound: ReturnType<typeof bind> | undefined;

/** The library, bound once. */
export function libllama(): ReturnType<typeof bind> {
  bound ??= bind();
  return bound;
}

export interface OracleOptions {
  /** Element type of the KV cache. Default F16. */
  readonly cacheType?: GgmlType;
  readonly contextLength?: number;
  readonly threads?: number;
  /** For `embed`: pools as the model's file says. Default false. */
  readonly embeddings?: boolean;
}

/** Rows of floats at an address. */
export function floatsAt(address: number, count: number): Float32Array {
  return new Float32Array(koffi.view(BigInt(address), 4 * count).slice(0));
}

/** A model in libllama with one sequence; flash attention and weight repacking are off. */
export class Oracle implements Disposable {
  readonly vocabSize: number;
  readonly #llama: ReturnType<typeof bind>;
  readonly #model: number;
  readonly #context: number;
  #length = 0;

  constructor(path: string, options: OracleOptions = {}) {
    const bound = libllama();
    this.#llama = bound;
    // On the CPU also where a card's library is loaded.
    const own = { load_mode: 0, use_extra_bufts: false, n_gpu_layers: 0 };
    const model = { ...bound.modelDefaults(), ...own };
    this.#model = bound.loadModel(path, model) as number;
    if (this.#model === 0) throw new Error(`libllama does not load ${path}`);
    this.vocabSize = bound.vocabSize(bound.vocab(this.#model)) as number;
    const contextLength = options.contextLength ?? 256;
    this.#context = bound.newContext(this.#model, {
      ...bound.contextDefaults(),
      n_ctx: contextLength,
      n_batch: contextLength,
      n_ubatch: contextLength,
      n_threads: options.threads ?? 1,
      n_threads_batch: options.threads ?? 1,
      flash_attn_type: 0,
      type_k: options.cacheType ?? GgmlType.F16,
      type_v: options.cacheType ?? GgmlType.F16,
      swa_full: true,
      offload_kqv: false,
      op_offload: false,
      embeddings: options.embeddings ?? false,
    }) as number;
    if (this.#context === 0) throw new Error(`libllama makes no context for ${path}`);
  }

  /** Appends tokens and returns the logits of each: an array a token. */
  decode(tokens: readonly number[]): Float32Array[] {
    this.#decode(tokens);
    return tokens.map((_, at) => {
      const address = this.#llama.logits(this.#context, at) as number;
      return floatsAt(address, this.vocabSize);
    });
  }

  /** Forgets the tokens, as if it had seen none. */
  clear(): void {
    this.#llama.clear(this.#llama.memory(this.#context), true);
    this.#length = 0;
  }

  #decode(tokens: readonly number[]): void {
    const result = this.#llama.decode(this.#context, {
      n_tokens: tokens.length,
      token: Int32Array.from(tokens),
      embd: 0,
      pos: Int32Array.from(tokens, (_, at) => this.#length + at),
      n_seq_id: 0,
      seq_id: 0,
      logits: new Int8Array(tokens.length).fill(1),
    });
    if (result !== 0) throw new Error(`llama_decode: ${result}`);
    this.#length += tokens.length;
  }

  /** The pooled vector of tokens, `width` floats, for an oracle that has seen nothing. */
  embed(tokens: readonly number[], width: number): Float32Array {
    this.#decode(tokens);
    const address = this.#llama.pooled(this.#context, 0) as number;
    return floatsAt(address, width);
  }

  /**
   * What a block drafter says of [last token, mask, ...] behind context rows: for each row of the block
   * its logits, and the row that it hands on beside them, which has `width` floats.
   */
  draftBlock(
    context: readonly Float32Array[],
    tokens: readonly number[],
    width: number,
  ): { readonly logits: readonly Float32Array[]; readonly beside: readonly Float32Array[] } {
    const llama = this.#llama;
    llama.setNextn()(this.#context, true, false);
    llama.setCausal(this.#context, false);
    const rows = Float32Array.from(context.flatMap((row) => [...row]));
    const result = llama.decodeRows(this.#context, {
      n_tokens: context.length,
      token: 0,
      embd: rows,
      pos: Int32Array.from(context, (_, at) => at),
      n_seq_id: 0,
      seq_id: 0,
      logits: new Int8Array(context.length),
    });
    if (result !== 0) throw new Error(`llama_decode: ${result}`);
    this.#length = context.length;
    const logits = this.decode(tokens);
    const address = llama.nextn()(this.#context) as number;
    const beside =
      address === 0 ? [] : tokens.map((_, at) => floatsAt(address + 4 * width * at, width));
    return { logits, beside };
  }

  [Symbol.dispose](): void {
    this.#llama.freeContext(this.#context);
    this.#llama.freeModel(this.#model);
  }
}
