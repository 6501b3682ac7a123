/** Calls the kernels directly, without a graph: parameters from plain typed arrays. */
import koffi from 'koffi';
import { bind, openLibrary } from '../../../src/ggml/bindings.js';
import { loadGgml } from '../../../src/ggml/library.js';
import {
  type NativeKernels,
  nativeKernels,
  nativeLibraryFile,
} from '../../../src/ggml/native/library.js';
import { GgmlType, isQuantized, rowBytes, typeTraits } from '../../../src/ggml/types.js';

const op = ['void', ['ptr', 'int', 'int', 'ptr']] as const;
const signatures = {
  pl_op_quantize: op,
  pl_op_linear: op,
  pl_op_get_rows: op,
  pl_op_moe: op,
  pl_op_expert_sum: op,
  pl_op_rms_norm: op,
} as const;
export type OpName = keyof typeof signatures;

/** The kernels of this machine; throws when they were not built. */
export function requireKernels(): NativeKernels {
  const { kernels, reason } = nativeKernels();
  if (kernels === undefined) throw new Error(`No native kernels: ${reason}. Run npm run setup.`);
  return kernels;
}

const file = nativeLibraryFile();
if (file === undefined) throw new Error('No native kernels: run npm run setup.');
const ops = bind(openLibrary(file), signatures);

export function addressOf(data: ArrayBufferView): number {
  return Number(koffi.address(data));
}

/** Runs an operation as `threads` threads would, one after the other, last thread first. */
export function runOp(
  kernels: NativeKernels,
  name: OpName,
  values: Readonly<Record<string, number | ArrayBufferView>>,
  threads = 1,
): void {
  const layout = kernels.struct(name.replace('pl_op_', 'pl_'));
  const slots = new BigInt64Array(layout.size / 8);
  const view = new DataView(slots.buffer);
  for (const [field, value] of Object.entries(values)) {
    const slot = layout.fields.get(field);
    if (slot === undefined) throw new Error(`${name} has no ${field}`);
    if (typeof value !== 'number') view.setBigInt64(slot.offset, BigInt(addressOf(value)), true);
    else if (slot.kind === 'F') view.setFloat64(slot.offset, value, true);
    else view.setBigInt64(slot.offset, BigInt(value), true);
  }
  for (let ith = threads - 1; ith >= 0; ith--) ops[name](0, ith, threads, addressOf(slots));
}

/** Switches the CPU path for what follows. */
export function forcePath(kernels: NativeKernels, path: string): void {
  if (kernels.functions.pl_init(path) !== 0) throw new Error(kernels.functions.pl_error() ?? '');
}

/** Numbers that look like activations or weights: normal, from a seed. */
export function normals(count: number, seed: number, scale = 1): Float32Array {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return Float32Array.from(
    { length: count },
    () => scale * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  );
}

/** Rows of `k` floats in a GGUF type, by ggml's own quantiser. */
export function quantizeRows(type: GgmlType, data: Float32Array, k: number): Uint8Array {
  const rows = data.length / k;
  const out = new Uint8Array(rowBytes(type, k) * rows);
  if (!isQuantized(type) && rowBytes(type, 1) === 4) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return out;
  }
  loadGgml().base.ggml_quantize_chunk(type, data, out, 0, rows, k, 0);
  return out;
}

/** Where blocks of types with codebooks have their scale, a number of 16 bits. */
const coded: ReadonlyMap<GgmlType, number> = new Map([
  ...[GgmlType.IQ2_XXS, GgmlType.IQ2_XS, GgmlType.IQ2_S].map((type) => [type, 0] as const),
  ...[GgmlType.IQ3_XXS, GgmlType.IQ3_S, GgmlType.IQ1_S].map((type) => [type, 0] as const),
  [GgmlType.IQ1_M, 48],
]);

/**
 * Rows of `k` weights in a GGUF type: of those with codebooks, which take long to quantise, blocks of
 * random bits, which have every entry; others as ggml quantises normal ones.
 */
export function randomRows(type: GgmlType, k: number, n: number, seed: number): Uint8Array {
  const scaleAt = coded.get(type);
  if (scaleAt === undefined) return quantizeRows(type, normals(k * n, seed, 0.05), k);
  const out = new Uint8Array(rowBytes(type, k) * n);
  let state = seed;
  for (let at = 0; at < out.length; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[at] = state >>> 24;
  }
  const { blockBytes } = typeTraits(type);
  for (let at = 0; at < out.length; at += blockBytes) {
    // 2^-10 to 2^-9, of either sign; of IQ1_M the upper four bits of each of four numbers.
    const scale = 0x1400 | ((out[at + scaleAt] as number) & 0xff) | ((at & 2) << 14);
    for (let i = 0; i < 4 && type === GgmlType.IQ1_M; i++) {
      const own = at + scaleAt + 2 * i + 1;
      out[own] = ((out[own] as number) & 15) | (((scale >> (4 * i)) & 15) << 4);
    }
    if (type === GgmlType.IQ1_M) continue;
    out[at + scaleAt] = scale & 255;
    out[at + scaleAt + 1] = scale >> 8;
  }
  return out;
}

/** A matrix in panels of the current path. */
export class Panels {
  readonly data: Uint8Array;

  constructor(
    readonly kernels: NativeKernels,
    readonly type: GgmlType,
    readonly k: number,
    readonly n: number,
    blocks: Uint8Array,
    threads = 1,
  ) {
    const { pl_panel_bytes, pl_repack, pl_panel_rows } = kernels.functions;
    const bytes = pl_panel_bytes(type, k, n);
    if (bytes === 0) throw new Error(`Type ${type} [${k}, ${n}] is not supported`);
    this.data = new Uint8Array(bytes + 64);
    // In two pieces, as a file is read.
    const cut = Math.min(n, Math.ceil(n / 2 / pl_panel_rows()) * pl_panel_rows());
    const address = this.address;
    const split = cut * rowBytes(type, k);
    const status = [
      pl_repack(type, blocks.subarray(0, split), address, k, n, 0, cut, threads),
      cut === n ? 0 : pl_repack(type, blocks.subarray(split), address, k, n, cut, n - cut, threads),
    ];
    if (status.some((s) => s !== 0)) throw new Error('Repacking failed');
  }

  get address(): number {
    return Math.ceil(addressOf(this.data) / 64) * 64;
  }

  /** The panels themselves. */
  get bytes(): Uint8Array {
    const offset = this.address - addressOf(this.data);
    return this.data.subarray(offset, this.data.length - 64 + offset);
  }

  rows(ids: Int32Array): Float32Array {
    const dst = new Float32Array(ids.length * this.k);
    const { address: panels, type, k, n } = this;
    const values = { panels, type, k, n, ids, count: ids.length, dst, stride: k * 4 };
    runOp(this.kernels, 'pl_op_get_rows', values);
    return dst;
  }
}

/** Quantised activations of `rows` rows of `k`; `padding` spaces the rows out. */
export function quantizeActivations(
  kernels: NativeKernels,
  x: Float32Array,
  k: number,
  options: { threads?: number; stride?: number; norm?: Float32Array; eps?: number } = {},
): Uint8Array {
  const stride = options.stride ?? k;
  const rows = Math.ceil(x.length / stride);
  const out = new Uint8Array(kernels.functions.pl_act_bytes(k, rows) + 64);
  const values: Record<string, number | ArrayBufferView> = {
    x,
    x_stride: stride * 4,
    out,
    k,
    rows,
  };
  if (options.norm !== undefined)
    Object.assign(values, { norm_weight: options.norm, eps: options.eps ?? 0 });
  runOp(kernels, 'pl_op_quantize', values, options.threads);
  return out;
}

/** y [n, rows] = panels times x [k, rows]. */
export function multiply(panels: Panels, x: Float32Array, threads = 1): Float32Array {
  const { kernels, k, n, type, address } = panels;
  const rows = x.length / k;
  const y = new Float32Array(n * rows).fill(Number.NaN);
  const act =
    kernels.functions.pl_needs_quantized(type) === 1
      ? quantizeActivations(kernels, x, k, { threads })
      : x;
  const values = { act, x, x_stride: k * 4, k, rows, count: 1 };
  const matrix = { panels0: address, type0: type, n0: n, dst0: y, stride0: n * 4 };
  runOp(kernels, 'pl_op_linear', { ...values, ...matrix }, threads);
  return y;
}

/** In double precision: weights [k, n] times x [k, rows]. */
export function reference(weights: Float32Array, x: Float32Array, k: number): Float64Array {
  const n = weights.length / k;
  const rows = x.length / k;
  const y = new Float64Array(n * rows);
  for (let t = 0; t < rows; t++) {
    for (let row = 0; row < n; row++) {
      let sum = 0;
      for (let c = 0; c < k; c++) sum += (weights[row * k + c] ?? 0) * (x[t * k + c] ?? 0);
      y[t * n + row] = sum;
    }
  }
  return y;
}

/** |a - b| / |b| over all elements. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < b.length; i++) {
    difference += ((a[i] ?? Number.NaN) - (b[i] ?? 0)) ** 2;
    norm += (b[i] ?? 0) ** 2;
  }
  return Math.sqrt(difference / norm);
}
