/**
 * Which experts of a model are kept: the JSON file that `experts select` writes, and its checks. A
 * subset names the model by the shape of its mixtures and the bytes of its routers, so that it fits
 * every quantisation whose routers are the same, and no other model.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { PacelineError } from '../base/errors.js';
import { writeFileAtomically } from '../base/files.js';
import type { GgufMetadata } from '../gguf/metadata.js';
import type { GgufTensorInfo } from '../gguf/types.js';
import { Metadata, readExperts } from './metadata.js';
import type { TensorSource } from './weights.js';

const counts = z.array(z.number().int().min(0).max(65_536)).max(1024);

/** A subset of a model's experts. */
export interface ExpertSubset {
  readonly format: 'paceline-experts';
  readonly version: 1;
  readonly architecture: string;
  /** Experts that each layer of the model has; 0: none. */
  readonly experts: readonly number[];
  /** SHA-256 of the routers' bytes, layer by layer. */
  readonly routers: string;
  /** For each layer the experts that are kept, ascending; none where the layer has none. */
  readonly kept: readonly (readonly number[])[];
  readonly method: string;
  /** Of the text by which experts were chosen. */
  readonly text?: { readonly sha256: string; readonly tokens: number } | undefined;
}

const schema: z.ZodType<ExpertSubset> = z.object({
  format: z.literal('paceline-experts'),
  version: z.literal(1),
  architecture: z.string().min(1),
  experts: counts,
  routers: z.string().regex(/^[0-9a-f]{64}$/),
  kept: z.array(counts).max(1024),
  method: z.string().min(1),
  text: z.object({ sha256: z.string(), tokens: z.number().int().min(0) }).optional(),
});

/** A model as far as its mixtures go. */
export type MixtureSource = GgufMetadata & TensorSource;

/** The mixture of a layer. */
export interface LayerMixture {
  readonly layer: number;
  readonly experts: number;
  /** Experts that a row goes through. */
  readonly used: number;
  /** Whether a token's number chooses them (DeepSeek V4's first layers): then all of them are kept. */
  readonly byToken: boolean;
}

/** More than any subset needs. */
const mostBytes = 32 * 2 ** 20;

/**
 * The layers of a model that have experts.
 * @throws {PacelineError} `usage` for a dense model; `unsupported-architecture` where experts are not
 *   chosen by a router's logits alone.
 */
export function mixturesOf(source: MixtureSource): readonly LayerMixture[] {
  const metadata = new Metadata(source);
  const layers = metadata.trunkLayers;
  const all = readExperts(metadata, layers, 0);
  const found = all.flatMap(({ experts, used }, layer) => {
    const has = (name: string) => source.tensors.has(`blk.${layer}.${name}.weight`);
    const byToken = has('ffn_gate_tid2eid');
    return has('ffn_gate_inp') ? [{ layer, experts, used, byToken }] : [];
  });
  if (found.length === 0) {
    throw new PacelineError('usage', 'The model has no mixtures of experts', {
      hint: 'Subsets are for models such as OLMoE, Qwen3-MoE, gpt-oss or EMO.',
      details: { architecture: metadata.architecture },
    });
  }
  if (metadata.count('expert_group_count', 0, 0) > 1) {
    throw new PacelineError(
      'unsupported-architecture',
      `Experts of "${metadata.architecture}" cannot be left out: they are chosen by groups`,
      { hint: 'Use the whole model.', details: { architecture: metadata.architecture } },
    );
  }
  return found;
}

/** SHA-256 of all routers' bytes, which tells one training from another. */
export async function routersDigest(
  source: MixtureSource,
  mixtures: readonly LayerMixture[],
  signal?: AbortSignal,
): Promise<string> {
  const digest = createHash('sha256');
  for (const { layer } of mixtures) {
    const info = source.tensors.get(`blk.${layer}.ffn_gate_inp.weight`) as GgufTensorInfo;
    const bytes = new Uint8Array(info.bytes);
    await source.readTensor(info, bytes, { start: 0, signal });
    digest.update(`${layer},${info.type},${info.shape.join('x')};`).update(bytes);
  }
  return digest.digest('hex');
}

/**
 * Reads a subset's file.
 * @throws {PacelineError} `model-not-found` when it is missing, `broken-file` when it is none.
 */
export async function readSubset(path: string): Promise<ExpertSubset> {
  const broken = (problem: string) =>
    new PacelineError('broken-file', `${path} is no subset of experts: ${problem}`, {
      hint: '`paceline experts select` writes such files.',
      details: { file: path },
    });
  let text: string;
  try {
    if ((await stat(path)).size > mostBytes) throw broken('it is too large');
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (PacelineError.is(error)) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw new PacelineError('io', `Cannot read ${path}: ${message}`);
    throw new PacelineError('model-not-found', `There is no file ${path}`, {
      hint: '`paceline experts select` writes subsets of experts.',
      details: { file: path },
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw broken((error as Error).message);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw broken(`${issue?.path.join('.') || 'it'}: ${issue?.message ?? 'wrong'}`);
}

/** Writes a subset's file, complete or not at all. @throws {PacelineError} `io`. */
export async function writeSubset(path: string, subset: ExpertSubset): Promise<void> {
  const { kept, ...rest } = subset;
  // One line a layer, for people who look.
  const lines = kept.map((ids) => `    ${JSON.stringify(ids)}`).join(',\n');
  const head = JSON.stringify(rest, undefined, 2).slice(0, -2);
  const text = `${head},\n  "kept": [\n${lines}\n  ]\n}\n`;
  await writeFileAtomically(path, (sink) => sink.write(new TextEncoder().encode(text)));
}

/**
 * Requires that a subset was made for this model and leaves every row enough experts.
 * @returns the model's layers with experts.
 * @throws {PacelineError} `usage` saying what does not fit; `io`.
 */
export async function checkSubset(
  source: MixtureSource,
  subset: ExpertSubset,
  signal?: AbortSignal,
): Promise<readonly LayerMixture[]> {
  const mixtures = mixturesOf(source);
  const architecture = source.string('general.architecture');
  const wrong = (problem: string, details: Record<string, unknown> = {}) =>
    new PacelineError('usage', `The subset of experts does not fit the model: ${problem}`, {
      hint: 'Choose experts for this model with `paceline experts select`.',
      details,
    });
  if (subset.architecture !== architecture)
    throw wrong(`it is for "${subset.architecture}", and this is "${architecture}"`);
  const layers = new Metadata(source).trunkLayers;
  if (subset.kept.length !== layers || subset.experts.length !== layers)
    throw wrong(`it is for ${subset.kept.length} layers, and there are ${layers}`);
  const byLayer = new Map(mixtures.map((mixture) => [mixture.layer, mixture]));
  for (const [layer, ids] of subset.kept.entries()) {
    const { experts = 0, used = 0, byToken = false } = byLayer.get(layer) ?? {};
    const where = `layer ${layer}`;
    if (subset.experts[layer] !== experts)
      throw wrong(`${where} has ${experts} experts, not ${subset.experts[layer]}`, { layer });
    if (ids.length < used)
      throw wrong(`${where} keeps ${ids.length} experts, and a token goes through ${used}`, {
        ...{ layer, kept: ids.length, used },
      });
    if (byToken && ids.length < experts)
      throw wrong(`${where} has to keep all of its ${experts} experts: tokens choose them`, {
        ...{ layer, kept: ids.length, experts },
      });
    for (const [at, id] of ids.entries()) {
      if (id >= experts) throw wrong(`${where} has no expert ${id}`, { layer, expert: id });
      if (at > 0 && id <= (ids[at - 1] as number))
        throw wrong(`the experts of ${where} are not in ascending order`, { layer });
    }
  }
  if ((await routersDigest(source, mixtures, signal)) !== subset.routers)
    throw wrong('its routers are not those of the model that it was chosen for');
  return mixtures;
}
