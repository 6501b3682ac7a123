/** What LFM2 has besides attention: short convolutions, in all but the last of each few layers. */
import type { GgufMetadataEntry } from '../gguf/types.js';
import { u32, u32s } from './entries.js';
import { type ModelShape, makers, type TensorPlan } from './plan.js';

const usual = { kernel: 3, interval: 2 };

function formOf({ architecture, convolutions }: ModelShape) {
  return architecture.startsWith('lfm2') ? (convolutions ?? usual) : undefined;
}

/** Whether a layer is a convolution. */
export function isConvolution(shape: ModelShape, layer: number): boolean {
  const form = formOf(shape);
  return form !== undefined && (layer + 1) % form.interval !== 0;
}

/** @param branch the gain of what is added to the residual stream. */
export function* convolutionTensors(
  shape: ModelShape,
  layer: number,
  branch: number,
): Generator<TensorPlan> {
  const { embedding } = shape;
  const { matrix, norm, router } = makers(layer);
  const { kernel } = formOf(shape) ?? usual;
  const at = `blk.${layer}`;
  yield norm(`${at}.attn_norm.weight`, [embedding]);
  yield matrix(`${at}.shortconv.in_proj.weight`, [embedding, 3 * embedding], 0.8);
  yield router(`${at}.shortconv.conv.weight`, [kernel, embedding], 1.5);
  yield matrix(`${at}.shortconv.out_proj.weight`, [embedding, embedding], branch / 2);
}

/** Entries without their prefix. */
export function convolutionMetadata(
  shape: ModelShape,
): Readonly<Record<string, GgufMetadataEntry>> {
  const form = formOf(shape);
  if (form === undefined) return {};
  const { layers, kvHeads } = shape;
  const heads = Array.from({ length: layers }, (_, at) => (isConvolution(shape, at) ? 0 : kvHeads));
  return {
    'attention.head_count_kv': u32s(heads),
    'shortconv.l_cache': u32(form.kernel),
    ...(shape.experts === undefined ? {} : { expert_gating_func: u32(2) }),
  };
}
