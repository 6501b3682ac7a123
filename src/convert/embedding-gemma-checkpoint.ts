/**
 * Checkpoints of EmbeddingGemma (`Gemma3TextModel`, arXiv 2509.20354): Gemma 3 that reads in both
 * directions, and the two projections behind the pooling, which sentence-transformers keeps in folders
 * of their own. Keys and names are those of llama.cpp's converter.
 */
import { join } from 'node:path';
import { PacelineError } from '../base/errors.js';
import { isRecord } from '../base/records.js';
import type { ByteSource } from '../gguf/source.js';
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';
import { embeddingGemma } from './classes.js';
import { JsonObject, readJsonIfThere, readJsonListIfThere } from './json.js';
import { openSafetensors, type SafetensorsTensor } from './safetensors.js';

/** Names of the projections among the tensors of a checkpoint. */
export const denseTensor = /^dense_[23]\.weight$/;

/** @throws {PacelineError} `unsupported-architecture` for a Gemma 3 that only lost its head. */
export function requireEncoder(config: JsonObject): void {
  const both = config.get('use_bidirectional_attention') === true;
  const scale = config.number('query_pre_attn_scalar') ?? 256;
  const head = config.count('head_dim') ?? 256;
  if (both && scale === head) return;
  throw new PacelineError(
    'unsupported-architecture',
    both
      ? `EmbeddingGemma whose scores are scaled by ${scale} is not supported`
      : 'A Gemma3TextModel that reads in one direction is not supported',
    { hint: 'Known is EmbeddingGemma; language models are Gemma3ForCausalLM.' },
  );
}

export interface DenseModules {
  readonly sources: readonly ByteSource[];
  /** `dense_2.weight` and `dense_3.weight`, or none. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
  /** Entries of the file, without the architecture. */
  readonly metadata: ReadonlyMap<string, GgufMetadataEntry>;
}

/**
 * The projections behind the pooling, as modules.json lists them; the caller closes the sources.
 * @throws {PacelineError} `unsupported-architecture` where they are not two matrices and the
 *   architecture EmbeddingGemma's: without them vectors would be others.
 */
export async function openDenseModules(
  folder: string,
  architecture: string,
  signal?: AbortSignal,
): Promise<DenseModules> {
  const modules = ((await readJsonListIfThere(join(folder, 'modules.json'))) ?? []).filter(
    isRecord,
  );
  const dense = modules.filter(({ type }) => String(type).endsWith('.Dense'));
  const sources: ByteSource[] = [];
  const tensors = new Map<string, SafetensorsTensor>();
  const metadata = new Map<string, GgufMetadataEntry>();
  if (dense.length === 0) return { sources, tensors, metadata };
  const names = dense.map(({ path }) => String(path));
  if (architecture !== embeddingGemma || names.join() !== '2_Dense,3_Dense') {
    throw new PacelineError(
      'unsupported-architecture',
      `Projections behind the pooling (${names.join(', ')}) are not supported for ${architecture}`,
    );
  }
  try {
    for (const name of names) {
      const config = await readJsonIfThere(join(folder, name, 'config.json'));
      requireLinear(name, config ?? new JsonObject(`${name}/config.json`, {}));
      const file = await openSafetensors(join(folder, name, 'model.safetensors'), signal);
      sources.push(file.source);
      const weight = file.tensors.get('linear.weight');
      const [out = 0, from = 0] = weight?.shape ?? [];
      if (weight === undefined || file.tensors.size !== 1 || weight.shape.length !== 2) {
        throw new PacelineError('wrong-shape', `${name} is not one matrix, linear.weight`);
      }
      const key = `dense_${name.charAt(0)}`;
      tensors.set(`${key}.weight`, weight);
      metadata.set(`${key}_feat_in`, ggufValue.uint32(from));
      metadata.set(`${key}_feat_out`, ggufValue.uint32(out));
    }
  } catch (error) {
    await Promise.all(sources.map((source) => source.close()));
    throw error;
  }
  return { sources, tensors, metadata };
}

function requireLinear(name: string, config: JsonObject): void {
  const activation = config.string('activation_function') ?? 'torch.nn.modules.linear.Identity';
  const plain = activation.endsWith('.Identity') && config.boolean('bias') !== true;
  if (plain) return;
  throw new PacelineError(
    'unsupported-architecture',
    `${name} is more than a matrix: ${activation}, ${config.boolean('bias') === true ? 'with' : 'without'} a bias`,
  );
}
