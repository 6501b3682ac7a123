/**
 * What a card computes, asked of its library before anything is put there: an operation that it lacks
 * would have its weights copied to the CPU in every pass.
 */
import type { Accelerator } from './accelerator.js';
import { type GgmlType, GgmlType as Type } from './types.js';
import type { WeightSpec } from './weight.js';

/** Rows of a question; what a card can do does not depend on them. */
const rows = 2;

/** Whether a card multiplies with a weight (`linear`, `experts`). */
export function multiplies(card: Accelerator, { type, shape, role }: WeightSpec): boolean {
  const { base } = card.ggml;
  return card.computes((context, tensor) => {
    const weight = tensor(type, shape);
    const [inputs = 1, , experts = 1] = shape;
    if (role !== 'experts') {
      return base.ggml_mul_mat(context, weight.address, tensor(Type.F32, [inputs, rows]).address);
    }
    const used = Math.min(2, experts);
    const x = tensor(Type.F32, [inputs, used, rows]);
    const ids = tensor(Type.I32, [used, rows]);
    return base.ggml_mul_mat_id(context, weight.address, x.address, ids.address);
  });
}

/** Whether a card takes rows out of a weight by number. */
export function looksUp(card: Accelerator, { type, shape }: WeightSpec): boolean {
  return card.computes((context, tensor) =>
    card.ggml.base.ggml_get_rows(
      context,
      tensor(type, shape).address,
      tensor(Type.I32, [rows]).address,
    ),
  );
}

/** The attention of a layer, as far as a card has to know it. */
export interface AttentionQuestion {
  /** Element type of keys and values. */
  readonly type: GgmlType;
  readonly heads: number;
  readonly kvHeads: number;
  readonly keyLength: number;
  readonly valueLength: number;
}

/** Cached positions of a question. */
const positions = 256;

/** Whether a card computes attention over a cache of its own, and stores to it. */
export function attends(card: Accelerator, question: AttentionQuestion): boolean {
  const { type, heads, kvHeads, keyLength, valueLength } = question;
  const { base } = card.ggml;
  const attention = card.computes((context, tensor) => {
    const q = tensor(Type.F32, [keyLength, rows, heads]);
    const k = tensor(type, [keyLength, positions, kvHeads]);
    const v = tensor(type, [valueLength, positions, kvHeads]);
    const mask = tensor(Type.F16, [positions, rows]);
    const { address } = q;
    return base.ggml_flash_attn_ext(context, address, k.address, v.address, mask.address, 1, 0, 0);
  });
  const store = card.computes((context, tensor) =>
    base.ggml_cpy(
      context,
      tensor(Type.F32, [keyLength * kvHeads, rows]).address,
      tensor(type, [keyLength * kvHeads, rows]).address,
    ),
  );
  return attention && store;
}

/** Whether a card takes the `count` largest of rows of `elements` (`takeTop`). */
export function selects(card: Accelerator, elements: number, count: number): boolean {
  const { base } = card.ggml;
  const row = [elements, rows];
  const chosen = [count, rows];
  const questions: readonly Parameters<Accelerator['computes']>[0][] = [
    (context, tensor) => base.ggml_top_k(context, tensor(Type.F32, row).address, count),
    (context, tensor) =>
      base.ggml_get_rows(
        context,
        tensor(Type.F32, [1, ...row]).address,
        tensor(Type.I32, chosen).address,
      ),
    (context, tensor) => base.ggml_sum_rows(context, tensor(Type.F32, row).address),
    (context, tensor) => {
      const [numbers, sums] = [tensor(Type.F32, chosen), tensor(Type.F32, [1, rows])];
      return base.ggml_concat(context, numbers.address, sums.address, 0);
    },
    (context, tensor) => base.ggml_soft_max_ext(context, tensor(Type.F32, row).address, 0, 1, 0),
  ];
  return count <= elements && questions.every((question) => card.computes(question));
}
