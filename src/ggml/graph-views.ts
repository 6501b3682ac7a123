/** Operations of a graph that move, copy or reinterpret data without computing anything new. */
import { checkExtents, fail, GraphCore, requireContiguous, requireType } from './graph-core.js';
import { contiguousStrides, type Four, fourOf, Tensor } from './tensor.js';
import { GgmlType, isQuantized, rowBytes } from './types.js';

export class GraphViews extends GraphCore {
  /**
   * A window on `source`: extents, the strides of axes 1 to 3 in bytes (default: contiguous), and
   * the position of its first byte.
   */
  view(
    source: Tensor,
    shape: readonly number[],
    strides: readonly number[] = [],
    offset = 0,
  ): Tensor {
    this.checkRoom('view');
    const four = fourOf(shape);
    checkExtents('view', four);
    const type = source.type;
    const nb1 = strides[0] ?? rowBytes(type, four[0]);
    const nb2 = strides[1] ?? nb1 * four[1];
    const nb3 = strides[2] ?? nb2 * four[2];
    const all: Four = [contiguousStrides(type, [four[0], 1, 1, 1])[0], nb1, nb2, nb3];
    const bytes = new Tensor(0, type, four, all, 'view').bytes;
    if (offset < 0 || offset + bytes > source.bytes) {
      fail('view', `[${four}] at byte ${offset} leaves its source`, source);
    }
    const { ggml } = this;
    const address = ggml.ggml_view_4d(
      this.context,
      source.address,
      four[0],
      four[1],
      four[2],
      four[3],
      nb1,
      nb2,
      nb3,
      offset,
    );
    return this.made('view', address, type, four, [source], all);
  }

  /** Rows `start` to `start + count` of a matrix (axis 1), or slices along its last axis. */
  rowRange(source: Tensor, start: number, count: number): Tensor {
    if (start === 0 && count === source.shape[1]) return source;
    const [e0, , e2, e3] = source.shape;
    const [, s1, s2, s3] = source.strides;
    return this.view(source, [e0, count, e2, e3], [s1, s2, s3], start * s1);
  }

  /** The same elements in other extents. */
  reshape(source: Tensor, shape: readonly number[]): Tensor {
    this.checkRoom('reshape');
    const four = fourOf(shape);
    checkExtents('reshape', four);
    requireContiguous('reshape', source);
    if (four[0] * four[1] * four[2] * four[3] !== source.elements) {
      fail('reshape', `to [${four}] changes the number of elements`, source);
    }
    const address = this.ggml.ggml_reshape_4d(this.context, source.address, ...four);
    return this.made('reshape', address, source.type, four, [source]);
  }

  /** Axis `i` of the source becomes axis `axes[i]` of the result. */
  permute(source: Tensor, axes: Four): Tensor {
    this.checkRoom('permute');
    const shape: [number, number, number, number] = [0, 0, 0, 0];
    const strides: [number, number, number, number] = [0, 0, 0, 0];
    if (new Set(axes).size !== 4 || axes.some((axis) => !(axis in shape))) {
      fail('permute', `[${axes}] is not a permutation of the axes`, source);
    }
    for (let from = 0; from < 4; from++) {
      const to = axes[from as 0];
      shape[to as 0] = source.shape[from as 0];
      strides[to as 0] = source.strides[from as 0];
    }
    const address = this.ggml.ggml_permute(this.context, source.address, ...axes);
    return this.made('permute', address, source.type, shape, [source], strides);
  }

  /** A contiguous copy. */
  cont(source: Tensor): Tensor {
    this.checkRoom('cont');
    if (isQuantized(source.type)) fail('cont', 'a quantised tensor', source);
    const address = this.ggml.ggml_cont(this.context, source.address);
    return this.made('cont', address, source.type, source.shape, [source]);
  }

  /** A contiguous copy in another type. */
  cast(source: Tensor, type: GgmlType): Tensor {
    this.checkRoom('cast');
    requireType('cast', source, GgmlType.F32, GgmlType.F16, GgmlType.BF16);
    if (isQuantized(type)) fail('cast', 'to a quantised type', source);
    const address = this.ggml.ggml_cast(this.context, source.address, type);
    return this.made('cast', address, type, source.shape, [source]);
  }

  /** Copies `source` into `target`, which may be of another type. The result is the target. */
  copy(source: Tensor, target: Tensor): Tensor {
    this.checkRoom('copy');
    requireType('copy', source, GgmlType.F32, GgmlType.F16);
    if (source.elements !== target.elements) {
      fail('copy', 'the numbers of elements differ', source, target);
    }
    if (!target.rowContiguous) fail('copy', 'the rows of the target have gaps', target);
    if (isQuantized(target.type) && !(source.rowContiguous && source.type === GgmlType.F32)) {
      fail('copy', 'only F32 rows can be quantised', source, target);
    }
    const address = this.ggml.ggml_cpy(this.context, source.address, target.address);
    return this.made('copy', address, target.type, target.shape, [source, target], target.strides);
  }

  /** Puts `second` behind `first` along an axis. */
  concat(first: Tensor, second: Tensor, axis: 0 | 1 | 2 | 3): Tensor {
    this.checkRoom('concat');
    requireType('concat', first, GgmlType.F32, GgmlType.F16, GgmlType.I32);
    const shape: [number, number, number, number] = [...first.shape];
    for (const at of [0, 1, 2, 3] as const) {
      if (at === axis) shape[at] += second.shape[at];
      else if (first.shape[at] !== second.shape[at]) {
        fail('concat', `the extents of axis ${at} differ`, first, second);
      }
    }
    if (first.type !== second.type) fail('concat', 'the types differ', first, second);
    const address = this.ggml.ggml_concat(this.context, first.address, second.address, axis);
    return this.made('concat', address, first.type, shape, [first, second]);
  }

  /** Rows of `table` [n, rows] by number: [n, ids]. F32, or I32 from an I32 table. */
  getRows(table: Tensor, ids: Tensor): Tensor {
    this.checkRoom('get_rows');
    requireType('get_rows', ids, GgmlType.I32);
    if (!table.rowContiguous) fail('get_rows', 'the rows have gaps', table);
    const [n0, , n2, n3] = table.shape;
    if (n2 !== ids.shape[1] || n3 !== ids.shape[2] || ids.shape[3] !== 1) {
      fail('get_rows', 'the outer extents differ', table, ids);
    }
    const type = table.type === GgmlType.I32 ? GgmlType.I32 : GgmlType.F32;
    const address = this.ggml.ggml_get_rows(this.context, table.address, ids.address);
    const shape: Four = [n0, ids.shape[0], ids.shape[1], ids.shape[2]];
    return this.made('get_rows', address, type, shape, [table, ids]);
  }

  /** Writes the rows of `source` to the rows `ids` (I64) of `target`. The result is the target. */
  setRows(target: Tensor, source: Tensor, ids: Tensor): Tensor {
    this.checkRoom('set_rows');
    requireType('set_rows', source, GgmlType.F32);
    requireType('set_rows', ids, GgmlType.I64, GgmlType.I32);
    if (!target.rowContiguous || !source.rowContiguous) {
      fail('set_rows', 'the rows have gaps', target, source);
    }
    const [t0, , t2, t3] = target.shape;
    const [s0, s1, s2, s3] = source.shape;
    if (t0 !== s0 || t2 !== s2 || t3 !== s3 || s1 !== ids.shape[0]) {
      fail('set_rows', 'the extents do not fit', target, source, ids);
    }
    if (s2 % ids.shape[1] !== 0 || s3 % ids.shape[2] !== 0 || ids.shape[3] !== 1) {
      fail('set_rows', 'the outer extents do not fit', source, ids);
    }
    const address = this.ggml.ggml_set_rows(
      this.context,
      target.address,
      source.address,
      ids.address,
    );
    const { type, shape, strides } = target;
    return this.made('set_rows', address, type, shape, [target, source, ids], strides);
  }
}
