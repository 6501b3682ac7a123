/**
 * libllama's tokenizer through FFI, as the oracle of the tests: it comes in the same package as our
 * ggml and reads the same file.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import { loadGgml } from '../../src/ggml/library.js';

const pointer = 'uintptr_t';

function bind() {
  const { folder } = loadGgml().package;
  const file = readdirSync(folder).find((name) =>
    /^(lib)?llama(\.v[\d.]+)?\.(so|dylib|dll)$/.test(name),
  );
  if (file === undefined) throw new Error(`No libllama in ${folder}`);
  const library = koffi.load(join(folder, file));
  // Its messages come from its own threads too: a C function that does nothing swallows them.
  const silent = Number(library.symbol('llama_max_devices'));
  library.func('llama_log_set', 'void', [pointer, pointer])(silent, 0);
  const pointers = (...names: string[]) => Object.fromEntries(names.map((name) => [name, pointer]));
  const flags = (...names: string[]) => Object.fromEntries(names.map((name) => [name, 'bool']));
  const integers = (...names: string[]) =>
    Object.fromEntries(names.map((name) => [name, 'int32_t']));
  const parameters = koffi.struct({
    ...pointers('devices', 'tensor_buft_overrides'),
    ...integers('n_gpu_layers', 'split_mode', 'load_mode', 'lazy_mode', 'main_gpu'),
    ...pointers('tensor_split', 'progress_callback', 'progress_callback_user_data'),
    ...pointers('kv_overrides'),
    ...flags('vocab_only', 'check_tensors', 'use_extra_bufts', 'no_host', 'no_alloc', 'load_mtp'),
  });
  const ids = 'int32_t *';
  const text = 'uint8_t *';
  return {
    defaults: library.func('llama_model_default_params', parameters, []),
    load: library.func('llama_model_load_from_file', pointer, ['str', parameters]),
    free: library.func('llama_model_free', 'void', [pointer]),
    vocab: library.func('llama_model_get_vocab', pointer, [pointer]),
    count: library.func('llama_vocab_n_tokens', 'int32_t', [pointer]),
    bos: library.func('llama_vocab_bos', 'int32_t', [pointer]),
    eos: library.func('llama_vocab_eos', 'int32_t', [pointer]),
    isEog: library.func('llama_vocab_is_eog', 'bool', [pointer, 'int32_t']),
    isControl: library.func('llama_vocab_is_control', 'bool', [pointer, 'int32_t']),
    tokenize: library.func('llama_tokenize', 'int32_t', [
      ...[pointer, text, 'int32_t', koffi.out(ids), 'int32_t', 'bool', 'bool'],
    ]),
    detokenize: library.func('llama_detokenize', 'int32_t', [
      ...[pointer, ids, 'int32_t', koffi.out(text), 'int32_t', 'bool', 'bool'],
    ]),
    piece: library.func('llama_token_to_piece', 'int32_t', [
      ...[pointer, 'int32_t', koffi.out(text), 'int32_t', 'int32_t', 'bool'],
    ]),
  };
}

let bound: ReturnType<typeof bind> | undefined;

/** A vocabulary in libllama. */
export class OracleVocabulary implements Disposable {
  readonly #llama: ReturnType<typeof bind>;
  readonly #model: number;
  readonly #vocab: number;

  /** Loads the vocabulary of a GGUF file, without its tensors. */
  constructor(path: string) {
    bound ??= bind();
    this.#llama = bound;
    const defaults = bound.defaults() as Record<string, unknown>;
    this.#model = bound.load(path, { ...defaults, vocab_only: true }) as number;
    if (this.#model === 0) throw new Error(`libllama does not load ${path}`);
    this.#vocab = bound.vocab(this.#model) as number;
  }

  get vocabSize(): number {
    return this.#llama.count(this.#vocab) as number;
  }

  get bos(): number {
    return this.#llama.bos(this.#vocab) as number;
  }

  get eos(): number {
    return this.#llama.eos(this.#vocab) as number;
  }

  isEndOfGeneration(id: number): boolean {
    return this.#llama.isEog(this.#vocab, id) as boolean;
  }

  isControl(id: number): boolean {
    return this.#llama.isControl(this.#vocab, id) as boolean;
  }

  encode(text: string, addSpecial: boolean, parseSpecial: boolean): number[] {
    const bytes = Buffer.from(text, 'utf8');
    const input = bytes.length > 0 ? bytes : Buffer.alloc(1);
    // WordPiece may write U+2581 before each character.
    const ids = new Int32Array(2 * bytes.length + 8);
    const count = this.#llama.tokenize(
      ...[this.#vocab, input, bytes.length, ids, ids.length, addSpecial, parseSpecial],
    ) as number;
    if (count < 0) throw new Error(`libllama needs room for ${-count} tokens`);
    return Array.from(ids.subarray(0, count));
  }

  decode(ids: readonly number[], removeSpecial: boolean, unparseSpecial: boolean): Buffer {
    const input = Int32Array.from(ids.length > 0 ? ids : [0]);
    const output = Buffer.alloc(ids.length * 64 + 4096);
    const count = this.#llama.detokenize(
      ...[this.#vocab, input, ids.length, output, output.length, removeSpecial, unparseSpecial],
    ) as number;
    if (count < 0) throw new Error(`libllama needs room for ${-count} bytes`);
    return output.subarray(0, count);
  }

  piece(id: number, special: boolean): Buffer {
    const output = Buffer.alloc(1024);
    const count = this.#llama.piece(this.#vocab, id, output, output.length, 0, special) as number;
    if (count < 0) throw new Error(`libllama needs room for ${-count} bytes`);
    return output.subarray(0, count);
  }

  [Symbol.dispose](): void {
    this.#llama.free(this.#model);
  }
}
