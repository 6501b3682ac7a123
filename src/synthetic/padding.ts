/**
 * Pads a model to the cost of a well-known shape without changing what it says: blocks whose
 * projections back to the residual stream are zero come after the last real one. Every product, row
 * of the cache and norm of a block is computed; all that it adds is zero. The real blocks keep their
 * bytes and their numbers, and the hidden width stays, so that drafters fit as they are.
 *
 * The price is that of the shape's Q4_0 file: the same bytes of weights read for a token, the same
 * multiplications, the same cache for a token. The shape's output head is paid in blocks, since more
 * words would add logits.
 */
import { PacelineError } from '../base/errors.js';
import type { OnProgress } from '../base/progress.js';
import { GgmlType, rowBytes, tensorBytes } from '../ggml/types.js';
import { type GgufFile, readGguf } from '../gguf/reader.js';
import { type GgufMetadataEntry, GgufValueType } from '../gguf/types.js';
import { type GgufTensorToWrite, writeGguf } from '../gguf/writer.js';
import type { Shape } from './known-shapes.js';
import { blockBytes, makePool, tensorData } from './pools.js';
import { mixOf, shapeOf, typedTensorsOf } from './shapes.js';

/** Costs of one token: bytes of weights, multiplications with them, values of the KV cache. */
export interface TokenCost {
  readonly bytes: number;
  readonly products: number;
  readonly cached: number;
}

/** What is added to a model. */
export interface Padding {
  readonly shape: string;
  readonly ownLayers: number;
  /** Zero blocks, and the shape of each. */
  readonly blocks: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly inner: number;
  /** Of the padded model, and of the shape as a Q4_0 file. */
  readonly cost: TokenCost;
  readonly target: TokenCost;
}

const type = GgmlType.Q4_0;
const architecture = 'qwen3';
/** Width of the network of a block: a multiple of this, for every kernel's panels and blocks. */
const innerStep = 256;

interface Own {
  readonly layers: number;
  readonly embedding: number;
  readonly headDim: number;
  readonly heads: readonly number[];
  readonly kvHeads: readonly number[];
  readonly inner: readonly number[];
}

function read(file: GgufFile): Own {
  const found = file.string('general.architecture');
  if (found !== architecture) {
    throw new PacelineError('unsupported-architecture', `${found} cannot be padded`, {
      hint: `Padding knows ${architecture} only.`,
    });
  }
  const key = (name: string): string => `${architecture}.${name}`;
  const layers = file.integer(key('block_count'), { least: 1 });
  const list = (name: string) => file.scalarOrArray(key(name), layers);
  return {
    layers,
    embedding: file.integer(key('embedding_length'), { least: 1 }),
    headDim: file.integer(key('attention.key_length'), { least: 1 }),
    heads: list('attention.head_count'),
    kvHeads: list('attention.head_count_kv'),
    inner: list('feed_forward_length'),
  };
}

/** Matrices that a token multiplies with; the table of a model with a head of its own is not one. */
function costOf(
  tensors: Iterable<{ name: string; type: GgmlType; shape: readonly number[] }>,
  cached: number,
): TokenCost {
  const all = [...tensors];
  const untied = all.some(({ name }) => name === 'output.weight');
  let bytes = 0;
  let products = 0;
  for (const tensor of all) {
    if (untied && tensor.name === 'token_embd.weight') continue;
    bytes += tensorBytes(tensor.type, tensor.shape);
    if (tensor.shape.length > 1) products += tensor.shape.reduce((a, b) => a * b, 1);
  }
  return { bytes, products, cached };
}

function targetCost(shape: Shape): TokenCost {
  const cached = 2 * shape.layers * shape.kvHeads * shape.headDim;
  return costOf(typedTensorsOf(shape, mixOf('q4_0', shape)), cached);
}

interface PlannedTensor {
  readonly name: string;
  readonly type: GgmlType;
  readonly shape: readonly number[];
  /** Whether its values are all zero, whatever the bits beside the scales say. */
  readonly zero: boolean;
}

function blockTensors(
  own: Own,
  block: Pick<Padding, 'heads' | 'kvHeads' | 'inner'>,
  layer: number,
): PlannedTensor[] {
  const { embedding, headDim } = own;
  const queries = block.heads * headDim;
  const keys = block.kvHeads * headDim;
  const vector = (name: string, size: number): PlannedTensor => ({
    name: `blk.${layer}.${name}.weight`,
    type: GgmlType.F32,
    shape: [size],
    zero: false,
  });
  const matrix = (name: string, inputs: number, outputs: number, zero = false): PlannedTensor => ({
    name: `blk.${layer}.${name}.weight`,
    type,
    shape: [inputs, outputs],
    zero,
  });
  return [
    vector('attn_norm', embedding),
    matrix('attn_q', embedding, queries),
    matrix('attn_k', embedding, keys),
    matrix('attn_v', embedding, keys),
    vector('attn_q_norm', headDim),
    vector('attn_k_norm', headDim),
    matrix('attn_output', queries, embedding, true),
    vector('ffn_norm', embedding),
    matrix('ffn_gate', embedding, block.inner),
    matrix('ffn_up', embedding, block.inner),
    matrix('ffn_down', block.inner, embedding, true),
  ];
}

/**
 * How many blocks of which shape bring a model to the cost of `shapeName`.
 * @throws {PacelineError} `usage` when the model is larger than the shape or the shape is unknown,
 *   `unsupported-architecture`.
 */
export function planPadding(file: GgufFile, shapeName: string): Padding {
  return plan(file, read(file), shapeOf(shapeName));
}

function plan(file: GgufFile, own: Own, shape: Shape): Padding {
  const target = targetCost(shape);
  const ownCached = own.kvHeads.reduce((sum, heads) => sum + 2 * heads * own.headDim, 0);
  const ownCost = costOf(file.tensors.values(), ownCached);
  const blocks = Math.max(1, shape.layers - own.layers);
  const each = (total: number, already: number, unit: number) =>
    Math.max(1, Math.round((total - already) / (blocks * unit)));
  const kvHeads = each(target.cached, ownCost.cached, 2 * own.headDim);
  const heads = kvHeads * (shape.heads / shape.kvHeads);
  const sized = (inner: number) => {
    const tensors = blockTensors(own, { heads, kvHeads, inner }, 0);
    return tensors.reduce((sum, tensor) => sum + tensorBytes(tensor.type, tensor.shape), 0);
  };
  const perStep = sized(2 * innerStep) - sized(innerStep);
  const room = (target.bytes - ownCost.bytes) / blocks - sized(innerStep);
  const inner = innerStep * (1 + Math.round(room / perStep));
  const fits = own.embedding % 32 === 0 && (heads * own.headDim) % 32 === 0;
  if (!fits || inner < innerStep) {
    throw new PacelineError('usage', `The model cannot be padded to ${shape.name}`, {
      hint: 'It is larger than that, or its width does not fit Q4_0.',
    });
  }
  const padding = { shape: shape.name, ownLayers: own.layers, blocks, heads, kvHeads, inner };
  const added = planned(own, padding);
  const cached = ownCost.cached + 2 * blocks * kvHeads * own.headDim;
  return { ...padding, cost: costOf([...file.tensors.values(), ...added], cached), target };
}

type BlockShape = Pick<Padding, 'blocks' | 'heads' | 'kvHeads' | 'inner' | 'ownLayers'>;

function planned(own: Own, padding: BlockShape): PlannedTensor[] {
  return Array.from({ length: padding.blocks }, (_, index) =>
    blockTensors(own, padding, padding.ownLayers + index),
  ).flat();
}

export interface PadOptions {
  /**
   * `openelm` writes the same weights for loaders that want one shape for all blocks of `qwen3`:
   * that architecture computes the same, from one matrix of queries, keys and values.
   */
  readonly as?: 'qwen3' | 'openelm';
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * Writes the model at `source` to `path`, padded to the cost of a shape.
 * @throws {PacelineError} as `planPadding`, and `io`, `aborted`, `broken-file`.
 */
export async function writePadded(
  source: string,
  path: string,
  shapeName: string,
  options: PadOptions = {},
): Promise<Padding> {
  const { as = architecture, ...rest } = options;
  await using file = await readGguf(source, rest);
  const own = read(file);
  const padding = plan(file, own, shapeOf(shapeName));
  const added = planned(own, padding).map((tensor, index) => ({
    name: tensor.name,
    type: tensor.type,
    shape: tensor.shape,
    data: () => paddingData(tensor, index + 1),
  }));
  const kept = [...file.tensors.values()].map((info) => ({
    name: info.name,
    type: info.type,
    shape: info.shape,
    data: async () => {
      const bytes = new Uint8Array(info.bytes);
      await file.readTensor(info, bytes);
      return bytes;
    },
  }));
  const tensors = [...kept, ...added];
  const content = {
    metadata: metadataOf(file, own, padding, as),
    tensors: as === 'openelm' ? fuse(tensors, padding) : tensors,
  };
  await writeGguf(path, content, rest);
  return padding;
}

const pools = new Map<boolean, Uint8Array>();

function paddingData(tensor: PlannedTensor, seed: number): Uint8Array | Iterable<Uint8Array> {
  if (tensor.type === GgmlType.F32) {
    return new Uint8Array(new Float32Array(tensor.shape[0] ?? 0).fill(1).buffer);
  }
  let pool = pools.get(tensor.zero);
  if (pool === undefined) {
    pool = makePool(type);
    // A block begins with its scale; with that at zero, its nibbles may say anything.
    const step = rowBytes(type, 32);
    if (tensor.zero) for (let at = 0; at < pool.length; at += step) pool.fill(0, at, at + 2);
    pools.set(tensor.zero, pool);
  }
  return tensorData(pool, tensorBytes(type, tensor.shape), blockBytes(type), seed);
}

function* metadataOf(
  file: GgufFile,
  own: Own,
  padding: Padding,
  as: string,
): Iterable<[string, GgufMetadataEntry]> {
  const list = (values: readonly number[], value: number): GgufMetadataEntry => ({
    type: GgufValueType.ARRAY,
    itemType: GgufValueType.UINT32,
    value: Uint32Array.from([...values, ...Array<number>(padding.blocks).fill(value)]),
  });
  const replaced = new Map<string, GgufMetadataEntry>([
    ['general.architecture', { type: GgufValueType.STRING, value: as }],
    [
      `${architecture}.block_count`,
      { type: GgufValueType.UINT32, value: own.layers + padding.blocks },
    ],
    [`${architecture}.attention.head_count`, list(own.heads, padding.heads)],
    [`${architecture}.attention.head_count_kv`, list(own.kvHeads, padding.kvHeads)],
    [`${architecture}.feed_forward_length`, list(own.inner, padding.inner)],
  ]);
  for (const [key, entry] of file.metadata) {
    const name = key.startsWith(`${architecture}.`) ? as + key.slice(architecture.length) : key;
    if (key === 'general.name' && entry.type === GgufValueType.STRING) {
      yield [name, { ...entry, value: `${entry.value}, padded to ${padding.shape}` }];
    } else yield [name, replaced.get(key) ?? entry];
  }
}

/** Queries, keys and values of each block as one matrix, in this order. */
function fuse(tensors: readonly GgufTensorToWrite[], padding: Padding): GgufTensorToWrite[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (let layer = 0; layer < padding.ownLayers + padding.blocks; layer++) {
    const parts = ['q', 'k', 'v'].map((part) => {
      const name = `blk.${layer}.attn_${part}.weight`;
      const found = byName.get(name);
      if (found === undefined) throw new PacelineError('missing-tensor', `There is no ${name}`);
      byName.delete(name);
      return found;
    });
    const [first] = parts;
    if (first === undefined || parts.some((part) => part.type !== first.type)) {
      throw new PacelineError('unsupported-type', `Layer ${layer} mixes types`, {
        hint: 'Its queries, keys and values cannot become one matrix for the peer.',
      });
    }
    const name = `blk.${layer}.attn_qkv.weight`;
    const rows = parts.reduce((sum, { shape }) => sum + (shape[1] ?? 0), 0);
    byName.set(name, {
      name,
      type: first.type,
      shape: [first.shape[0] ?? 0, rows],
      data: () => inTurn(parts),
    });
  }
  return [...byName.values()];
}

async function* inTurn(parts: readonly GgufTensorToWrite[]): AsyncGenerator<Uint8Array> {
  for (const { data } of parts) {
    const made = data instanceof Uint8Array ? data : await data();
    if (made instanceof Uint8Array) yield made;
    else yield* made;
  }
}
