/**
 * The typed builder of ggml graphs, and the one place where ggml's operations are called. Shapes in
 * comments are in ggml's order, the fastest axis first: an activation is [features, tokens].
 * `linear`, `linearAll`, `gated`, `experts`, `gatedExperts`, `mixedExperts` and `rows` leave it to
 * the weight's storage which kernel runs.
 */
import { fusedSum, noteNorm } from './fusion.js';
import { fail, requireContiguous, requireType } from './graph-core.js';
import { GraphViews } from './graph-views.js';
import { type Four, fourOf, type Tensor } from './tensor.js';
import { GgmlType, typeTraits } from './types.js';
import type { Activation, Weight } from './weight.js';

/** Rotary position embedding (RoFormer; YaRN: arXiv 2309.00071). */
export interface RopeOptions {
  /** How many leading features of each head are rotated. */
  readonly dimensions: number;
  /** `interleaved` rotates (2i, 2i+1), `halves` (i, i + dimensions/2). */
  readonly pairs: 'interleaved' | 'halves';
  readonly base: number;
  /** Positions are multiplied by this: 1 / the factor of linear scaling. */
  readonly scale: number;
  /** 0 without YaRN, 1 with it. */
  readonly yarn: number;
  /** Multiplies sine and cosine. */
  readonly magnitude: number;
  readonly betaFast: number;
  readonly betaSlow: number;
  /** Context length before scaling. */
  readonly originalContext: number;
}

export interface AttentionOptions {
  readonly scale: number;
  /** Scores are squashed to c * tanh(s / c); 0 or undefined leaves them. */
  readonly softcap?: number | undefined;
  /** F32 [heads]: a logit for each head that takes part in the softmax and has no value. */
  readonly sinks?: Tensor | undefined;
  /** Most that a head multiplies the mask with (ALiBi, arXiv 2108.12409); 0 or undefined: 1 for all. */
  readonly alibi?: number | undefined;
}

export interface CustomOperation {
  /** For messages. */
  readonly name: string;
  readonly type: GgmlType;
  readonly shape: readonly number[];
  /** At most 9 tensors, the operation's `src`. */
  readonly sources: readonly Tensor[];
  /** Address of `void (*)(ggml_tensor *dst, int ith, int nth, void *userdata)`. */
  readonly function: number;
  /** Address of what it gets as `userdata`; see `keep`. */
  readonly userdata: number;
  /** Threads that run it; default: all. */
  readonly tasks?: number;
}

/** Addresses of an operation's sources while ggml copies them; reused, since it is called a lot. */
const sourceWords = new Uint32Array(2 * 9);

type Unary = 'ggml_silu' | 'ggml_gelu' | 'ggml_sigmoid' | 'ggml_tanh';
type Binary = 'ggml_add' | 'ggml_sub' | 'ggml_mul' | 'ggml_div';

export class Graph extends GraphViews {
  /** Operations in native code, noted where their sources may be on another device. */
  readonly customOperations: { readonly address: number; readonly sources: readonly Tensor[] }[] =
    [];

  /** weight [in, out] times x [in, ...]: [out, ...]. */
  linear(weight: Weight, x: Tensor): Tensor {
    checkLinear('linear', weight, x, 2);
    return weight.storage.linear(this, weight, x);
  }

  /** Several weights times the same x, which a kernel can do in one pass. */
  linearAll(weights: readonly Weight[], x: Tensor): readonly Tensor[] {
    for (const weight of weights) checkLinear('linear', weight, x, 2);
    const together = weights[0]?.storage.linearAll?.(this, weights, x);
    return together ?? weights.map((weight) => weight.storage.linear(this, weight, x));
  }

  /** activation(gate x) * (up x): the first half of a gated feed-forward network. */
  gated(gate: Weight, up: Weight, x: Tensor, activation: Activation): Tensor {
    checkLinear('gated', gate, x, 2);
    checkLinear('gated', up, x, 2);
    return (
      gate.storage.gated?.(this, gate, up, x, activation) ??
      this.gate(this.linear(gate, x), this.linear(up, x), activation)
    );
  }

  /**
   * weight [in, out, experts] times x [in, 1 or used, tokens], each token with its own experts
   * ids [used, tokens]: [out, used, tokens].
   */
  experts(weight: Weight, x: Tensor, ids: Tensor): Tensor {
    checkLinear('experts', weight, x, 3);
    return weight.storage.experts(this, weight, x, ids);
  }

  /** `gated` for experts. */
  gatedExperts(gate: Weight, up: Weight, x: Tensor, ids: Tensor, activation: Activation): Tensor {
    checkLinear('gated experts', gate, x, 3);
    checkLinear('gated experts', up, x, 3);
    return (
      gate.storage.gatedExperts?.(this, gate, up, x, ids, activation) ??
      this.gate(this.experts(gate, x, ids), this.experts(up, x, ids), activation)
    );
  }

  /**
   * The sum of each token's expert products, times `weights` [1, slots, tokens], in the order of the
   * slots: x [in, slots, tokens] to [out, tokens].
   */
  mixedExperts(weight: Weight, x: Tensor, ids: Tensor, weights: Tensor): Tensor {
    checkLinear('mixed experts', weight, x, 3);
    const [slots, tokens] = ids.shape;
    if (weights.shape[1] !== slots || weights.elements !== slots * tokens) {
      fail('mixed experts', 'the weights do not fit the expert numbers', weights, ids);
    }
    const fused = weight.storage.mixedExperts?.(this, weight, x, ids, weights);
    if (fused !== undefined) return fused;
    const parts = this.mul(this.experts(weight, x, ids), weights);
    const part = (index: number) =>
      this.view(parts, [parts.shape[0], tokens], [parts.strides[2]], index * parts.strides[1]);
    let sum = part(0);
    for (let index = 1; index < slots; index++) sum = this.add(sum, part(index));
    return slots === 1 ? this.cont(sum) : sum;
  }

  /** Rows of a weight [n, rows] by number, as F32: [n, ids]. */
  rows(weight: Weight, ids: Tensor): Tensor {
    requireType('rows', ids, GgmlType.I32);
    return weight.storage.rows(this, weight, ids);
  }

  /** x / sqrt(mean(x^2) + epsilon) * weight over the first axis. */
  rmsNorm(x: Tensor, weight: Tensor | undefined, epsilon: number): Tensor {
    this.checkRoom('rms_norm');
    requireType('rms_norm', x, GgmlType.F32);
    if (!x.rowContiguous) fail('rms_norm', 'the rows have gaps', x);
    const address = this.ggml.ggml_rms_norm(this.context, x.address, epsilon);
    const normed = this.made('rms_norm', address, GgmlType.F32, x.shape, [x]);
    if (weight === undefined) return normed;
    const result = this.mul(normed, weight);
    noteNorm(result, { x, weight, epsilon });
    return result;
  }

  /** (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias over the first axis. */
  layerNorm(x: Tensor, weight: Tensor, bias: Tensor | undefined, epsilon: number): Tensor {
    this.checkRoom('norm');
    requireType('norm', x, GgmlType.F32);
    if (!x.rowContiguous) fail('norm', 'the rows have gaps', x);
    const address = this.ggml.ggml_norm(this.context, x.address, epsilon);
    const scaled = this.mul(this.made('norm', address, GgmlType.F32, x.shape, [x]), weight);
    return bias === undefined ? scaled : this.add(scaled, bias);
  }

  add(a: Tensor, b: Tensor): Tensor {
    return fusedSum(a, b) ?? this.#binary('ggml_add', a, b);
  }

  sub(a: Tensor, b: Tensor): Tensor {
    return this.#binary('ggml_sub', a, b);
  }

  mul(a: Tensor, b: Tensor): Tensor {
    return this.#binary('ggml_mul', a, b);
  }

  div(a: Tensor, b: Tensor): Tensor {
    return this.#binary('ggml_div', a, b);
  }

  /** Elementwise; b is repeated along axes where it is shorter. */
  #binary(operation: Binary, a: Tensor, b: Tensor): Tensor {
    this.checkRoom(operation);
    requireType(operation, a, GgmlType.F32);
    requireType(operation, b, GgmlType.F32);
    for (const axis of [0, 1, 2, 3] as const) {
      if (b.shape[axis] === 0 || a.shape[axis] % b.shape[axis] !== 0) {
        fail(operation, 'the second tensor does not repeat into the first', a, b);
      }
    }
    if (!a.rowContiguous || !b.rowContiguous) fail(operation, 'the rows have gaps', a, b);
    const address = this.ggml[operation](this.context, a.address, b.address);
    return this.made(operation, address, GgmlType.F32, a.shape, [a, b]);
  }

  scale(x: Tensor, factor: number): Tensor {
    this.checkRoom('scale');
    requireType('scale', x, GgmlType.F32);
    requireContiguous('scale', x);
    const address = this.ggml.ggml_scale(this.context, x.address, factor);
    return this.made('scale', address, GgmlType.F32, x.shape, [x]);
  }

  clamp(x: Tensor, minimum: number, maximum: number): Tensor {
    this.checkRoom('clamp');
    requireType('clamp', x, GgmlType.F32);
    const address = this.ggml.ggml_clamp(this.context, x.address, minimum, maximum);
    return this.made('clamp', address, GgmlType.F32, x.shape, [x]);
  }

  silu(x: Tensor): Tensor {
    return this.#unary('ggml_silu', x);
  }

  /** The tanh form. */
  gelu(x: Tensor): Tensor {
    return this.#unary('ggml_gelu', x);
  }

  sigmoid(x: Tensor): Tensor {
    return this.#unary('ggml_sigmoid', x);
  }

  tanh(x: Tensor): Tensor {
    return this.#unary('ggml_tanh', x);
  }

  #unary(operation: Unary, x: Tensor): Tensor {
    this.checkRoom(operation);
    requireType(operation, x, GgmlType.F32);
    requireContiguous(operation, x, 1);
    const address = this.ggml[operation](this.context, x.address);
    return this.made(operation, address, GgmlType.F32, x.shape, [x]);
  }

  /** x [n, slots, tokens] and for each slot the row of `table` [n, rows] that `ids` [slots, tokens] names. */
  addRows(x: Tensor, table: Tensor, ids: Tensor): Tensor {
    this.checkRoom('add_id');
    for (const tensor of [x, table]) requireType('add_id', tensor, GgmlType.F32);
    requireType('add_id', ids, GgmlType.I32);
    if (x.shape[0] !== table.shape[0] || x.shape[3] !== 1 || table.shape[2] !== 1) {
      fail('add_id', 'the rows do not fit', x, table);
    }
    if (x.shape[1] !== ids.shape[0] || x.shape[2] !== ids.shape[1] || ids.shape[2] !== 1) {
      fail('add_id', 'the row numbers do not fit', x, ids);
    }
    for (const tensor of [x, table, ids]) {
      if (!tensor.rowContiguous) fail('add_id', 'the rows have gaps', tensor);
    }
    const address = this.ggml.ggml_add_id(this.context, x.address, table.address, ids.address);
    return this.made('add_id', address, GgmlType.F32, x.shape, [x, table, ids]);
  }

  /** activation(gate) * up. */
  gate(gate: Tensor, up: Tensor, activation: Activation): Tensor {
    this.checkRoom('gate');
    for (const tensor of [gate, up]) {
      requireType('gate', tensor, GgmlType.F32);
      requireContiguous('gate', tensor, 1);
    }
    if (!sameShape(gate, up)) fail('gate', 'the shapes differ', gate, up);
    const { ggml, context } = this;
    const address =
      activation === 'swiglu-oai'
        ? ggml.ggml_swiglu_oai(context, gate.address, up.address, 1.702, 7)
        : activation === 'silu'
          ? ggml.ggml_swiglu_split(context, gate.address, up.address)
          : ggml.ggml_geglu_split(context, gate.address, up.address);
    return this.made('gate', address, GgmlType.F32, gate.shape, [gate, up]);
  }

  /** Sums over the first axis: [1, ...]. */
  sumRows(x: Tensor): Tensor {
    this.checkRoom('sum_rows');
    requireType('sum_rows', x, GgmlType.F32);
    if (!x.rowContiguous) fail('sum_rows', 'the rows have gaps', x);
    const address = this.ggml.ggml_sum_rows(this.context, x.address);
    const shape: Four = [1, x.shape[1], x.shape[2], x.shape[3]];
    return this.made('sum_rows', address, GgmlType.F32, shape, [x]);
  }

  /** Places of the `count` largest elements of each row, largest first: I32, a view. */
  topK(x: Tensor, count: number): Tensor {
    this.checkRoom('top_k');
    this.checkRoom('top_k');
    checkTop(x, count);
    if (!x.rowContiguous) fail('top_k', 'the rows have gaps', x);
    const address = this.ggml.ggml_argsort_top_k(this.context, x.address, count);
    const [n0, n1, n2, n3] = x.shape;
    const strides: Four = [4, 4 * n0, 4 * n0 * n1, 4 * n0 * n1 * n2];
    return this.made('top_k', address, GgmlType.I32, [count, n1, n2, n3], [x], strides);
  }

  /**
   * Places of the `count` largest elements of each row, in no stated order: I32 [count, ...]. Which of
   * equal elements are taken depends on the device.
   */
  largest(x: Tensor, count: number): Tensor {
    this.checkRoom('largest');
    checkTop(x, count);
    requireContiguous('largest', x);
    const address = this.ggml.ggml_top_k(this.context, x.address, count);
    const shape: Four = [count, x.shape[1], x.shape[2], x.shape[3]];
    return this.made('largest', address, GgmlType.I32, shape, [x]);
  }

  /** a [k, n] and b [k, m] to [n, m]: each row of b times each row of a. */
  mulMat(a: Tensor, b: Tensor): Tensor {
    this.checkRoom('mul_mat');
    this.longForGgml();
    requireType('mul_mat', b, GgmlType.F32);
    if (a.shape[0] !== b.shape[0]) fail('mul_mat', 'the inner extents differ', a, b);
    if (b.shape[2] % a.shape[2] !== 0 || b.shape[3] % a.shape[3] !== 0) {
      fail('mul_mat', 'the outer extents do not repeat', a, b);
    }
    checkFactor('mul_mat', a);
    if (!b.rowContiguous) fail('mul_mat', 'the rows have gaps', b);
    const address = this.ggml.ggml_mul_mat(this.context, a.address, b.address);
    const shape: Four = [a.shape[1], b.shape[1], b.shape[2], b.shape[3]];
    return this.made('mul_mat', address, GgmlType.F32, shape, [a, b]);
  }

  /** a [k, n, experts], b [k, 1 or used, tokens], ids [used, tokens]: [n, used, tokens]. */
  mulMatId(a: Tensor, b: Tensor, ids: Tensor): Tensor {
    this.checkRoom('mul_mat_id');
    this.longForGgml();
    requireType('mul_mat_id', b, GgmlType.F32);
    requireType('mul_mat_id', ids, GgmlType.I32);
    checkFactor('mul_mat_id', a);
    if (a.shape[0] !== b.shape[0]) fail('mul_mat_id', 'the inner extents differ', a, b);
    if (a.shape[3] !== 1 || b.shape[3] !== 1 || ids.shape[2] !== 1 || ids.shape[3] !== 1) {
      fail('mul_mat_id', 'too many axes', a, b, ids);
    }
    if (ids.shape[1] !== b.shape[2] || b.shape[1] === 0 || ids.shape[0] % b.shape[1] !== 0) {
      fail('mul_mat_id', 'the experts do not fit the tokens', b, ids);
    }
    if (!b.rowContiguous || !ids.rowContiguous) fail('mul_mat_id', 'the rows have gaps', b, ids);
    const address = this.ggml.ggml_mul_mat_id(this.context, a.address, b.address, ids.address);
    const shape: Four = [a.shape[1], ids.shape[0], b.shape[2], 1];
    return this.made('mul_mat_id', address, GgmlType.F32, shape, [a, b, ids]);
  }

  /** Rotates x [head, heads, tokens] by positions [tokens]; factors [dimensions / 2] divide. */
  rope(x: Tensor, positions: Tensor, options: RopeOptions, factors?: Tensor): Tensor {
    this.checkRoom('rope');
    requireType('rope', x, GgmlType.F32);
    requireType('rope', positions, GgmlType.I32);
    const { dimensions } = options;
    if (positions.elements !== positions.shape[0] || positions.shape[0] !== x.shape[2]) {
      fail('rope', 'there is not one position a token', x, positions);
    }
    if (dimensions > x.shape[0] || dimensions % 2 !== 0) fail('rope', `${dimensions} rotated`, x);
    if (!x.rowContiguous) fail('rope', 'the rows have gaps', x);
    if (factors !== undefined) {
      requireType('rope', factors, GgmlType.F32);
      if (factors.shape[0] < dimensions / 2) fail('rope', 'too few factors', factors);
    }
    const mode = options.pairs === 'halves' ? 2 : 0;
    const address = this.ggml.ggml_rope_ext(
      this.context,
      x.address,
      positions.address,
      factors?.address ?? 0,
      dimensions,
      mode,
      options.originalContext,
      options.base,
      options.scale,
      options.yarn,
      options.magnitude,
      options.betaFast,
      options.betaSlow,
    );
    return this.made('rope', address, GgmlType.F32, x.shape, [x, positions]);
  }

  /** softmax(x * scale + mask) over the first axis. */
  softmax(x: Tensor, options: { scale?: number; mask?: Tensor } = {}): Tensor {
    this.checkRoom('soft_max');
    requireType('soft_max', x, GgmlType.F32);
    requireContiguous('soft_max', x);
    const { mask, scale = 1 } = options;
    if (mask !== undefined) {
      requireType('soft_max', mask, GgmlType.F16, GgmlType.F32);
      requireContiguous('soft_max', mask);
      const [m0, m1, m2, m3] = mask.shape;
      if (m0 !== x.shape[0] || m1 < x.shape[1] || x.shape[2] % m2 || x.shape[3] % m3) {
        fail('soft_max', 'the mask does not fit', x, mask);
      }
    }
    const address = this.ggml.ggml_soft_max_ext(
      this.context,
      x.address,
      mask?.address ?? 0,
      scale,
      0,
    );
    return this.made('soft_max', address, GgmlType.F32, x.shape, [x]);
  }

  /**
   * q [head, tokens, heads], k and v [head, rows, kvHeads], mask [rows, tokens] F16:
   * softmax(q k^T * scale + mask) v as [head, heads, tokens].
   */
  flashAttention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | undefined,
    options: AttentionOptions,
  ): Tensor {
    this.checkRoom('flash_attn');
    this.longForGgml();
    requireType('flash_attn', q, GgmlType.F32);
    const [, tokens, heads, batch] = q.shape;
    for (const cache of [k, v]) {
      if (!cache.rowContiguous) fail('flash_attn', 'the rows have gaps', cache);
      if (heads % cache.shape[2] !== 0 || cache.shape[3] !== batch || cache.shape[1] !== k.shape[1])
        fail('flash_attn', 'keys and values do not fit the query', q, cache);
    }
    if (q.shape[0] !== k.shape[0]) fail('flash_attn', 'the head sizes differ', q, k);
    if (!q.rowContiguous) fail('flash_attn', 'the rows have gaps', q);
    if (mask !== undefined) {
      requireType('flash_attn', mask, GgmlType.F16);
      requireContiguous('flash_attn', mask);
      if (mask.shape[0] !== k.shape[1] || mask.shape[1] < tokens || mask.elements === 0) {
        fail('flash_attn', 'the mask does not fit', q, k, mask);
      }
    }
    const address = this.ggml.ggml_flash_attn_ext(
      this.context,
      q.address,
      k.address,
      v.address,
      mask?.address ?? 0,
      options.scale,
      options.alibi ?? 0,
      options.softcap ?? 0,
    );
    const { sinks } = options;
    if (sinks !== undefined) {
      requireType('flash_attn', sinks, GgmlType.F32);
      if (sinks.elements !== heads) fail('flash_attn', 'there is not one sink a head', q, sinks);
      this.ggml.ggml_flash_attn_ext_add_sinks(address, sinks.address);
    }
    const shape: Four = [v.shape[0], heads, tokens, batch];
    return this.made('flash_attn', address, GgmlType.F32, shape, [q, k, v]);
  }

  /** An operation in native code: see `native/`. */
  custom(operation: CustomOperation): Tensor {
    this.checkRoom(operation.name);
    const { name, type, sources, tasks = -1 } = operation;
    if (sources.length > 9) fail(name, `${sources.length} sources, at most 9`, ...sources);
    if (operation.function === 0) fail(name, 'the function is null', ...sources);
    const shape = fourOf(operation.shape);
    if (shape[0] % typeTraits(type).blockSize !== 0) fail(name, `rows of ${shape[0]}`);
    for (let index = 0; index < sources.length; index++) {
      const { address } = sources[index] as Tensor;
      sourceWords[2 * index] = address; // the low 32 bits
      sourceWords[2 * index + 1] = address / 2 ** 32;
    }
    const address = this.ggml.ggml_custom_4d(
      this.context,
      type,
      shape[0],
      shape[1],
      shape[2],
      shape[3],
      sourceWords,
      sources.length,
      operation.function,
      tasks,
      operation.userdata,
    );
    if (this.backend.accelerators.length > 0) this.customOperations.push({ address, sources });
    return this.made(name, address, type, shape, sources, undefined, true);
  }
}

function sameShape(a: Tensor, b: Tensor): boolean {
  return a.shape.every((extent, axis) => extent === b.shape[axis as 0]);
}

function checkTop(x: Tensor, count: number): void {
  requireType('top_k', x, GgmlType.F32);
  if (!Number.isSafeInteger(count) || count < 1 || count > x.shape[0]) {
    fail('top_k', `${count} of ${x.shape[0]}`, x);
  }
}

/** The first factor of a product must have gapless rows and must not be transposed. */
function checkFactor(operation: string, a: Tensor): void {
  if (!a.rowContiguous || a.strides[0] > a.strides[1]) fail(operation, 'a transposed factor', a);
  requireFloat(operation, a);
}

function requireFloat(operation: string, a: Tensor): void {
  const { I8, I16, I32, I64, F64 } = GgmlType;
  if (([I8, I16, I32, I64, F64] as readonly GgmlType[]).includes(a.type)) {
    fail(operation, 'not a type to multiply', a);
  }
}

function checkLinear(operation: string, weight: Weight, x: Tensor, axes: 2 | 3): void {
  requireType(operation, x, GgmlType.F32);
  if (weight.shape.length !== axes || weight.shape[0] !== x.shape[0]) {
    fail(operation, `weight ${weight} does not fit`, x);
  }
}
