/**
 * A model as if its file had only some of its experts: the other ones' matrices, router rows and
 * biases are not there. A router's softmax over the kept ones is what it would be with the others'
 * logits at minus infinity, so this is the mask and the pruned file at once: both have the same bytes,
 * and only what is kept is ever read. Blocks of multi-token prediction keep all of theirs.
 */
import { GgufMetadata } from '../gguf/metadata.js';
import { splitCountKey, splitNumberKey, splitTensorsKey } from '../gguf/split.js';
import type { GgufMetadataEntry, GgufTensorInfo } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import {
  checkSubset,
  type ExpertSubset,
  type LayerMixture,
  type MixtureSource,
} from './expert-subset.js';
import { Metadata } from './metadata.js';
import type { TensorFile } from './weights.js';

/** Tensors with an entry, row or matrix for each expert, on their last axis. */
const perExpert =
  /^blk\.(\d+)\.(ffn_gate_inp|exp_probs_b(?:_vl)?|ffn_(?:gate|up|down|gate_up)_exps)\.(weight|bias|scale)$/;
/** What the rows of a router's input are scaled by (Gemma 4). */
const inputScale = 'ffn_gate_inp.scale';

/** Keys of pruned files that say what they were made of. */
const subsetKeys = {
  kept: 'paceline.experts.kept',
  counts: 'paceline.experts.kept_count',
  total: 'paceline.experts.total',
  method: 'paceline.experts.method',
} as const;

/** A part of a model that can be loaded as one. */
class SubsetSource extends GgufMetadata {
  readonly tensors: ReadonlyMap<string, GgufTensorInfo>;
  readonly #source: MixtureSource;
  readonly #kept: ReadonlyMap<string, readonly number[]>;

  /** Use `subsetOf`. */
  constructor(source: MixtureSource, subset: ExpertSubset, mixtures: readonly LayerMixture[]) {
    super(source.label, withoutSome(source, subset, mixtures));
    this.#source = source;
    const keptOf = new Map<string, readonly number[]>();
    const tensors = new Map<string, GgufTensorInfo>();
    const counts = new Map(mixtures.map(({ layer, experts }) => [layer, experts]));
    for (const [name, info] of source.tensors) {
      const place = expertAxis(name);
      const count = place && counts.get(place.layer);
      // What has another shape than it should is left to who declares the weights.
      if (place === undefined || count === undefined || info.shape[place.axis] !== count) {
        tensors.set(name, info);
        continue;
      }
      const kept = subset.kept[place.layer] as readonly number[];
      const { axis } = place;
      keptOf.set(name, kept);
      const bytes = (info.bytes / count) * kept.length;
      tensors.set(name, { ...info, shape: info.shape.with(axis, kept.length), bytes });
    }
    this.tensors = tensors;
    this.#kept = keptOf;
  }

  /** As `GgufFile.fileOf`, for experts' matrices and what is kept whole. */
  fileOf(info: GgufTensorInfo): TensorFile | undefined {
    const kept = this.#kept.get(info.name);
    const file = this.#source.fileOf?.(info);
    if (kept === undefined || file === undefined) return file;
    return expertAxis(info.name)?.axis === 2 ? { ...file, matrices: kept } : undefined;
  }

  /** As `GgufFile.readTensor`, of what is kept. */
  async readTensor(
    info: GgufTensorInfo,
    target: Uint8Array,
    { start = 0, signal }: { start?: number; signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    const kept = this.#kept.get(info.name);
    const whole = this.#source.tensors.get(info.name) as GgufTensorInfo;
    if (kept === undefined) return this.#source.readTensor(whole, target, { start, signal });
    const each = info.bytes / kept.length;
    for (let done = 0; done < target.byteLength; ) {
      const at = start + done;
      let place = Math.floor(at / each);
      const first = place;
      // Neighbours in the file are read at once.
      while (
        kept[place + 1] === (kept[place] as number) + 1 &&
        (place + 1) * each < start + target.byteLength
      ) {
        place++;
      }
      const count = Math.min(target.byteLength - done, (place + 1) * each - at);
      const from = (kept[first] as number) * each + (at - first * each);
      await this.#source.readTensor(whole, target.subarray(done, done + count), {
        start: from,
        signal,
      });
      done += count;
    }
  }
}

/**
 * The model with the experts of a subset.
 * @throws {PacelineError} `usage` when the subset was made for another model.
 */
export async function subsetOf(
  source: MixtureSource,
  subset: ExpertSubset,
  signal?: AbortSignal,
): Promise<SubsetSource> {
  return new SubsetSource(source, subset, await checkSubset(source, subset, signal));
}

/** The layer of a tensor with something for each expert, and on which of its axes experts are counted. */
function expertAxis(name: string): { readonly layer: number; readonly axis: number } | undefined {
  const [, layer, part = '', kind] = perExpert.exec(name) ?? [];
  if (layer === undefined || name.endsWith(inputScale)) return undefined;
  const matrices = part.endsWith('_exps');
  const axis = kind === 'weight' ? (matrices ? 2 : 1) : kind === 'bias' && matrices ? 1 : 0;
  return { layer: Number(layer), axis };
}

/** The metadata of a file of so many experts. */
function withoutSome(
  source: MixtureSource,
  subset: ExpertSubset,
  found: readonly LayerMixture[],
): ReadonlyMap<string, GgufMetadataEntry> {
  const model = new Metadata(source);
  const metadata = new Map(source.metadata);
  for (const key of [splitNumberKey, splitCountKey, splitTensorsKey]) metadata.delete(key);
  const blocks = model.count('block_count');
  const before = model.countPerLayer('expert_count', blocks, undefined, 0);
  const mixtures = new Set(found.map(({ layer }) => layer));
  const counts = before.map((count, layer) =>
    mixtures.has(layer) ? (subset.kept[layer] as readonly number[]).length : count,
  );
  const sizes = new Set([...mixtures].map((layer) => counts[layer] as number));
  const alike = sizes.size === 1 && blocks === model.trunkLayers;
  const [size = 0] = sizes;
  // Readers of GGUF know one number; a list is for where one does not do.
  const count = alike ? ggufValue.uint32(size) : ggufValue.numbers('uint32', counts);
  metadata.set(`${model.architecture}.expert_count`, count);
  metadata.set(subsetKeys.kept, ggufValue.numbers('int32', subset.kept.flat()));
  metadata.set(
    subsetKeys.counts,
    ggufValue.numbers(
      'int32',
      subset.kept.map(({ length }) => length),
    ),
  );
  metadata.set(subsetKeys.total, ggufValue.uint32(Math.max(...subset.experts)));
  metadata.set(subsetKeys.method, ggufValue.string(subset.method));
  return metadata;
}
