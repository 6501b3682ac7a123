/**
 * What `paceline inspect` shows of a model, from its header alone: architecture, parameters,
 * quantisation mix, tokenizer. Pure. Facts that a file does not state are undefined, never guessed.
 */
import { type GgmlTypeName, typeName } from '../ggml/types.js';
import { cacheLayers, type HeaderLayer } from './kv-layout.js';
import type { GgufFile } from './reader.js';
import type { GgufTensorInfo } from './types.js';

/** All tensors of one type. */
export interface TypeShare {
  readonly type: GgmlTypeName;
  readonly tensors: number;
  readonly elements: number;
  readonly bytes: number;
  /** Of the bytes of all tensors, 0 to 1. */
  readonly share: number;
}

export interface TokenizerSummary {
  /** `tokenizer.ggml.model`: `llama`, `gpt2`, `gemma4`, ... */
  readonly kind: string;
  /** `tokenizer.ggml.pre`, which names the pre-tokenizer of byte-level BPE. */
  readonly preTokenizer: string | undefined;
  readonly vocabularySize: number | undefined;
  readonly hasChatTemplate: boolean;
}

export interface GgufSummary {
  readonly architecture: string | undefined;
  readonly name: string | undefined;
  readonly license: string | undefined;
  readonly version: number;
  readonly files: readonly string[];
  readonly fileBytes: number;
  readonly tensors: number;
  /** Elements of all tensors. */
  readonly parameters: number;
  /** Bytes of all tensors. */
  readonly weightBytes: number;
  /** Mean bits of a parameter; 0 without tensors. */
  readonly bitsPerWeight: number;
  /** Largest share first. */
  readonly types: readonly TypeShare[];
  readonly tokenizer: TokenizerSummary | undefined;
  /** What the model was trained for, in tokens. */
  readonly contextLength: number | undefined;
  readonly embeddingLength: number | undefined;
  readonly layers: number | undefined;
  readonly heads: PerLayer | undefined;
  readonly kvHeads: PerLayer | undefined;
  /** How many there are, and how many of them a token goes through. */
  readonly experts: { readonly count: PerLayer; readonly used: PerLayer | undefined } | undefined;
  /** How the sequence's state is laid out, or undefined where the header does not tell. */
  readonly cache: readonly HeaderLayer[] | undefined;
}

/** One number for all layers, or one for each. */
export type PerLayer = number | readonly number[];

/**
 * Sums up an open model.
 * @throws {PacelineError} `broken-file` when a key that it looks at has a value of the wrong kind.
 */
export function summarize(file: GgufFile): GgufSummary {
  const architecture = file.optionalString('general.architecture');
  const integer = (key: string) => file.optionalInteger(`${architecture}.${key}`);
  const types = typeShares(file.tensors.values());
  const parameters = types.reduce((sum, { elements }) => sum + elements, 0);
  const weightBytes = types.reduce((sum, { bytes }) => sum + bytes, 0);
  const experts = perLayer(file, `${architecture}.expert_count`);
  return {
    architecture,
    name: file.optionalString('general.name'),
    license: file.optionalString('general.license'),
    version: file.version,
    files: file.files,
    fileBytes: file.bytes,
    tensors: file.tensors.size,
    parameters,
    weightBytes,
    bitsPerWeight: parameters === 0 ? 0 : (8 * weightBytes) / parameters,
    types,
    tokenizer: tokenizerOf(file, integer('vocab_size')),
    contextLength: integer('context_length'),
    embeddingLength: integer('embedding_length'),
    layers: integer('block_count'),
    heads: perLayer(file, `${architecture}.attention.head_count`),
    kvHeads: perLayer(file, `${architecture}.attention.head_count_kv`),
    experts: experts
      ? { count: experts, used: perLayer(file, `${architecture}.expert_used_count`) }
      : undefined,
    cache: cacheLayers(file),
  };
}

function typeShares(tensors: Iterable<GgufTensorInfo>): TypeShare[] {
  const sums = new Map<GgmlTypeName, { tensors: number; elements: number; bytes: number }>();
  let total = 0;
  for (const { type, shape, bytes } of tensors) {
    const name = typeName(type);
    const sum = sums.get(name) ?? { tensors: 0, elements: 0, bytes: 0 };
    sums.set(name, sum);
    sum.tensors++;
    sum.elements += shape.reduce((product, extent) => product * extent, 1);
    sum.bytes += bytes;
    total += bytes;
  }
  return [...sums]
    .map(([type, sum]) => ({ type, ...sum, share: sum.bytes / total }))
    .sort((a, b) => b.bytes - a.bytes);
}

function tokenizerOf(file: GgufFile, stated: number | undefined): TokenizerSummary | undefined {
  const kind = file.optionalString('tokenizer.ggml.model');
  if (kind === undefined) return undefined;
  return {
    kind,
    preTokenizer: file.optionalString('tokenizer.ggml.pre'),
    vocabularySize: file.optionalStringArray('tokenizer.ggml.tokens')?.length ?? stated,
    hasChatTemplate: file.has('tokenizer.chat_template'),
  };
}

function perLayer(file: GgufFile, key: string): PerLayer | undefined {
  const value = file.metadata.get(key)?.value;
  if (typeof value === 'number') return value;
  const list = value === undefined ? undefined : file.numberArray(key);
  return list?.length ? list : undefined;
}
