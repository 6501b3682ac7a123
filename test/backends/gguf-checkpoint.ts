/**
 * A GGUF file as a checkpoint in Hugging Face's layout, for engines that take no GGUF: dense models of
 * Llama's and Qwen 3's kind with a byte-level vocabulary, weights as F32. The other way around is
 * `src/convert`, and the test of this brings a file back by it.
 */
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { RowConverter } from '../../src/ggml/row-converter.js';
import { GgmlType } from '../../src/ggml/types.js';
import { type GgufFile, readGguf } from '../../src/gguf/reader.js';
import type { GgufTensorInfo } from '../../src/gguf/types.js';
import { tokenizerFile } from './tokenizer-file.js';

const classes: Readonly<Record<string, { readonly name: string; readonly type: string }>> = {
  llama: { name: 'LlamaForCausalLM', type: 'llama' },
  qwen3: { name: 'Qwen3ForCausalLM', type: 'qwen3' },
};

/** Names of a layer's tensors, GGUF's and the checkpoint's. */
const layerNames: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};

const outerNames: Readonly<Record<string, string>> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
};

/** What stands before the byte alphabet, by GGUF's name of the pre-tokenizer. */
const steps: Readonly<Record<string, readonly object[]>> = {
  smollm: [
    { type: 'Digits', individual_digits: true },
    { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
  ],
  qwen2: [
    {
      type: 'Split',
      pattern: {
        Regex:
          "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      },
      behavior: 'Isolated',
      invert: false,
    },
    { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
  ],
};

const tokenType = { control: 3, user: 4 } as const;

/** Writes the checkpoint of a model into a folder. */
export async function writeCheckpoint(gguf: string, folder: string): Promise<void> {
  await using file = await readGguf(gguf);
  mkdirSync(folder, { recursive: true });
  const write = (name: string, value: object): void =>
    writeFileSync(join(folder, name), JSON.stringify(value));
  const ends = ['eos', 'eot']
    .map((name) => file.optionalNumber(`tokenizer.ggml.${name}_token_id`))
    .filter((id) => id !== undefined);
  const begin = file.optionalNumber('tokenizer.ggml.bos_token_id');
  const specials = { bos_token_id: begin, eos_token_id: ends[0] };
  write('config.json', { ...configOf(file), ...specials });
  // Sampling that the authors suggest stays out: requests say what they want.
  write('generation_config.json', { ...specials, eos_token_id: ends });
  writeVocabulary(file, write);
  const template = file.optionalString('tokenizer.chat_template');
  if (template !== undefined) writeFileSync(join(folder, 'chat_template.jinja'), template);
  await writeTensors(file, join(folder, 'model.safetensors'));
}

function configOf(file: GgufFile): object {
  const architecture = file.string('general.architecture');
  const own = classes[architecture];
  if (own === undefined) throw new Error(`no checkpoint of ${architecture} is known`);
  const value = (key: string): number => file.number(`${architecture}.${key}`);
  const [width, heads] = [value('embedding_length'), value('attention.head_count')];
  const rope_theta = file.optionalNumber(`${architecture}.rope.freq_base`) ?? 10_000;
  return {
    ...{ architectures: [own.name], model_type: own.type, hidden_act: 'silu' },
    hidden_size: width,
    intermediate_size: value('feed_forward_length'),
    num_hidden_layers: value('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: value('attention.head_count_kv'),
    head_dim: file.optionalNumber(`${architecture}.attention.key_length`) ?? width / heads,
    max_position_embeddings: value('context_length'),
    rms_norm_eps: Number(value('attention.layer_norm_rms_epsilon').toPrecision(6)),
    vocab_size: file.stringArray('tokenizer.ggml.tokens').length,
    rope_theta,
    rope_parameters: { rope_type: 'default', rope_theta },
    tie_word_embeddings: !file.tensors.has('output.weight'),
    ...{ attention_bias: false, mlp_bias: false, torch_dtype: 'float32' },
  };
}

function writeVocabulary(file: GgufFile, write: (name: string, value: object) => void): void {
  const key = (name: string): string => `tokenizer.ggml.${name}`;
  const before = steps[file.string(key('pre'))];
  if (before === undefined) throw new Error(`no pre-tokenizer ${file.string(key('pre'))} is known`);
  const tokens = file.stringArray(key('tokens'));
  const types = file.numberArray(key('token_type'));
  const added = tokens.flatMap((content, id) => {
    const special = types[id] === tokenType.control;
    return special || types[id] === tokenType.user ? [{ id, content, special }] : [];
  });
  const text = (name: string): string | undefined => {
    const id = file.optionalNumber(key(`${name}_token_id`));
    return id === undefined ? undefined : tokens[id];
  };
  const begins = file.optionalBoolean(key('add_bos_token')) ?? false;
  write(
    'tokenizer.json',
    tokenizerFile({
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: file.stringArray(key('merges')).map((merge) => merge.split(' ') as [string, string]),
      steps: before,
      added,
      begin: begins ? text('bos') : undefined,
    }),
  );
  write('tokenizer_config.json', {
    ...{ tokenizer_class: 'PreTrainedTokenizerFast', clean_up_tokenization_spaces: false },
    ...{ bos_token: text('bos'), eos_token: text('eos'), add_bos_token: begins },
  });
}

function nameOf(tensor: string): string {
  const [, layer, part = '', kind] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(tensor) ?? [];
  const found =
    layer === undefined
      ? outerNames[tensor]
      : layerNames[part] && `model.layers.${layer}.${layerNames[part]}.${kind}`;
  if (found === undefined) throw new Error(`a checkpoint has no place for ${tensor}`);
  return found;
}

async function writeTensors(file: GgufFile, path: string): Promise<void> {
  await using converter = new RowConverter(1);
  const header: Record<string, object> = { __metadata__: { format: 'pt' } };
  const tensors = [...file.tensors.values()];
  let at = 0;
  for (const { name, shape } of tensors) {
    const bytes = shape.reduce((product, extent) => product * extent, 1) * 4;
    // GGUF names the fastest extent first.
    const turned = [...shape].reverse();
    header[nameOf(name)] = { dtype: 'F32', shape: turned, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.byteLength));
  const target = openSync(path, 'w');
  try {
    for (const part of [length, text]) writeSync(target, part);
    for (const tensor of tensors) {
      const bytes = await floatsOf(file, tensor, converter);
      for (let done = 0; done < bytes.byteLength; ) {
        done += writeSync(target, bytes, done, bytes.byteLength - done);
      }
    }
  } finally {
    closeSync(target);
  }
}

/** The bytes of a tensor as F32, in the checkpoint's order of rows. */
async function floatsOf(
  file: GgufFile,
  tensor: GgufTensorInfo,
  converter: RowConverter,
): Promise<Uint8Array> {
  const source = new Uint8Array(new ArrayBuffer(tensor.bytes));
  await file.readTensor(tensor, source);
  const [rowLength = 1, ...others] = tensor.shape;
  const rows = others.reduce((product, extent) => product * extent, 1);
  const floats = await converter.convert({
    ...{ from: tensor.type, to: GgmlType.F32, rowLength, source, firstRow: 0, matrixRows: rows },
  });
  const heads = rotatedHeads(file, tensor.name);
  return heads === undefined ? floats : unrotated(floats, rows, heads);
}

/** Heads of a matrix whose rows GGUF keeps in the order of Llama's first rotation: pairs side by side. */
function rotatedHeads(file: GgufFile, name: string): number | undefined {
  if (file.string('general.architecture') !== 'llama') return undefined;
  if (/\.attn_q\.weight$/.test(name)) return file.number('llama.attention.head_count');
  if (/\.attn_k\.weight$/.test(name)) return file.number('llama.attention.head_count_kv');
  return undefined;
}

function unrotated(floats: Uint8Array, rows: number, heads: number): Uint8Array {
  const result = new Uint8Array(floats.byteLength);
  const row = floats.byteLength / rows;
  const half = rows / heads / 2;
  for (let head = 0; head < heads; head++) {
    for (let pair = 0; pair < half; pair++) {
      for (const second of [0, 1]) {
        const from = (head * half + pair) * 2 + second;
        const to = head * half * 2 + second * half + pair;
        result.set(floats.subarray(from * row, (from + 1) * row), to * row);
      }
    }
  }
  return result;
}
