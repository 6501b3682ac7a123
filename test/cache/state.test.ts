/** Every kind of state against the one conformance suite. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { LayeredState, type LayeredStateOptions } from '../../src/cache/layered-state.js';
import type { Range } from '../../src/cache/ranges.js';
import type { RowMemory } from '../../src/cache/row-memory.js';
import type { SequenceState } from '../../src/cache/state.js';
import { readTensorBytes, writeTensor } from '../../src/ggml/allocation.js';
import { Backend } from '../../src/ggml/backend.js';
import { storedPositions } from '../../src/ggml/cache-rows.js';
import { loggedRows } from '../../src/ggml/recurrent-shape.js';
import type { Tensor } from '../../src/ggml/tensor.js';
import { GgmlType, rowBytes, typeName } from '../../src/ggml/types.js';
import type { LayerState } from '../../src/models/layer-state.js';
import { ForgetfulState } from './forgetful-state.js';
import { type StateSubject, stateConformance } from './state-conformance.js';

const backend = new Backend({ threads: 1 });
after(() => backend.dispose());

const window = 16;
/** Of a text of so many times the usual length, a window keeps a part only. */
const windowScale = 8;

const layersOf = (window: number | undefined): readonly LayerState[] => [
  { kind: 'rows', heads: 1, keys: 64, values: 128 },
  { kind: 'none' },
  { kind: 'rows', heads: 2, keys: 128, values: 128, window },
  { kind: 'shared', layer: 0 },
];
const layers = layersOf(undefined);

interface Opening {
  readonly layers?: readonly LayerState[];
  readonly type?: GgmlType;
  readonly capacity?: number;
  readonly identity?: string;
}

function open({ type = GgmlType.F16, ...more }: Opening = {}): LayeredState {
  const usual = { layers, capacity: 200, identity: 'weights' };
  return new LayeredState({ backend, type, ...usual, ...more, onLost: spoil });
}

/** What is given back may keep its bytes for a while: here it does not. */
function spoil(memory: RowMemory, { from, end }: Range): void {
  memory.write(from, end, new Uint8Array(memory.bytesOf(from, end)).fill(0xa5));
}

/** Tensors and the places of their positions' bytes: in blocks, bytes of several positions mix. */
function subject(type: GgmlType, windowed = false): StateSubject {
  const scale = windowed ? windowScale : 1;
  const layers = layersOf(windowed ? window : undefined);
  const opening = { layers, type, capacity: 200 * scale };
  const tensors = (state: SequenceState): Tensor[] =>
    [0, 2].flatMap((layer) => {
      const { k, v } = state.layer(layer);
      return [k, v];
    });
  const block = storedPositions(type, 1);
  const places = shapes.map(({ heads, width, which }) =>
    Array.from({ length: block }, (_, at) => placesOf(which, { heads, width, type, at })),
  );
  /** Fills the bytes of positions [from, end) of a tensor. */
  const fill = (
    [at, tensor]: readonly [number, Tensor],
    [from, end]: readonly [number, number],
    value: (position: number) => number,
  ): void => {
    const bytes = tensor.strides[1] * block;
    for (let first = from - (from % block); first < end; first += block) {
      const whole = new Uint8Array(bytes);
      readTensorBytes(backend, tensor, whole, (first / block) * bytes);
      for (let own = Math.max(first, from); own < Math.min(first + block, end); own++) {
        for (const place of places[at]?.[own % block] ?? []) whole[place] = value(own);
      }
      writeTensor(backend, tensor, whole, (first / block) * bytes);
    }
  };
  return {
    scale,
    create: () => open(opening),
    createOther: () => open({ ...opening, identity: 'other weights' }),
    write(state, tokens) {
      const { length } = state;
      for (const [at, tensor] of tensors(state).entries()) {
        const range = [length, length + tokens.length] as const;
        fill([at, tensor], range, (position) => (tokens[position - length] ?? 0) + at);
      }
    },
    read(state) {
      const parts = tensors(state).map((tensor, at) => {
        const { length } = state;
        const row = tensor.strides[1];
        // What lies past the length is garbage.
        fill([at, tensor], [length, storedPositions(type, length)], () => 0);
        const bytes = new Uint8Array(storedPositions(type, length) * row);
        readTensorBytes(backend, tensor, bytes);
        // Nor does anybody look at what lies before the window.
        if (windowed && at >= 2) bytes.fill(0, 0, state.neededFrom('window', length) * row);
        return bytes;
      });
      return Buffer.concat(parts);
    },
  };
}

/** The tensors of the layers above. */
const shapes = [
  { heads: 1, width: 64, which: 'keys' },
  { heads: 1, width: 128, which: 'values' },
  { heads: 2, width: 64, which: 'keys' },
  { heads: 2, width: 64, which: 'values' },
] as const;

/** Where the bytes of the position `at` of a block lie (native/src/attention/block.h). */
function placesOf(
  which: 'keys' | 'values',
  o: {
    readonly heads: number;
    readonly width: number;
    readonly type: GgmlType;
    readonly at: number;
  },
): number[] {
  const { heads, width, type, at } = o;
  if (type !== GgmlType.I16) {
    return Array.from({ length: rowBytes(type, heads * width) }, (_, place) => place);
  }
  const places: number[] = [];
  const numbers = 128 * width;
  for (let head = 0; head < heads; head++) {
    const start = head * (numbers + (which === 'keys' ? 512 : 0));
    for (let d = 0; d < width; d++) {
      const [tile, column, depth] =
        which === 'keys'
          ? [Math.floor(at / 16) * (width / 64) + Math.floor(d / 64), at % 16, d % 64]
          : [Math.floor(d / 16), d % 16, at];
      const upper = start + tile * 2048 + Math.floor(depth / 4) * 64 + column * 4 + (depth % 4);
      places.push(upper, upper + 1024);
    }
    if (which === 'values') continue;
    for (let byte = 0; byte < 4; byte++) {
      const scale = start + numbers + 4 * at + byte;
      places.push(scale, scale + 256);
    }
  }
  return places;
}

const types = [GgmlType.F16, GgmlType.F32, GgmlType.Q8_0, GgmlType.I16];

describe('state of rows', () => {
  for (const type of types) {
    stateConformance(typeName(type), subject(type));
  }

  it('gives layers that share another one’s rows those rows', () => {
    using state = open();
    assert.equal(state.layer(3).k, state.layer(0).k);
    assert.throws(() => state.layer(1), { code: 'internal' });
    assert.throws(() => state.layer(4), { code: 'internal' });
  });

  it('gives memory behind the text back to the system, and keeps what is before', async () => {
    const rows: LayerState = { kind: 'rows', heads: 1, keys: 4096, values: 4096 };
    const options = { backend, capacity: 8192, type: GgmlType.F16, identity: '' };
    using state = new LayeredState({ ...options, layers: [rows] });
    const block = new Uint8Array(state.blockBytes('whole', 0)).fill(7);
    for (let index = 0; index < 128; index++) state.writeBlock('whole', index, block);
    state.resume(8192, new Uint8Array());
    const before = process.memoryUsage.rss();
    state.truncate(1000);
    const fork = state.fork();
    state.trim();
    await fork.pending;
    fork.dispose();
    state.trim();
    // Elsewhere the system may take its time.
    if (process.platform === 'linux') {
      const freed = before - process.memoryUsage.rss();
      assert.ok(freed > state.bytes / 2, `${freed} of ${state.bytes} bytes`);
    }
    const kept = new Uint8Array(block.length);
    for (let index = 0; index < 15; index++) {
      state.readBlock('whole', index, kept);
      assert.ok(Buffer.compare(kept, block) === 0, `block ${index}`);
    }
    state.writeBlock('whole', 100, block);
    state.readBlock('whole', 100, kept);
    assert.ok(Buffer.compare(kept, block) === 0, 'it can be used again');
  });

  it('asks for memory as it grows, and stays as it was when that is refused', () => {
    const asked: number[] = [];
    let left = Number.POSITIVE_INFINITY;
    const admit = (bytes: number) => {
      if (bytes > left) throw new PacelineError('memory', 'no more');
      asked.push(bytes);
    };
    const options = { backend, layers, capacity: 600, type: GgmlType.F16, identity: '', admit };
    using state = new LayeredState(options);
    const pass = (rows: number) => {
      state.begin(rows);
      state.commit(rows);
    };
    pass(1);
    pass(200);
    assert.equal(asked.length, 1);
    pass(100);
    assert.deepEqual(asked, [asked[0], asked[0]]);
    left = 0;
    assert.throws(() => state.begin(290), { code: 'memory' });
    assert.equal(state.length, 301);
    pass(200);
    state.truncate(0);
    // What was written once is there already.
    pass(500);
  });

  it('has a fingerprint that tells element types and layouts apart', () => {
    using half = open();
    using float = open({ type: GgmlType.F32 });
    assert.notEqual(half.fingerprint, float.fingerprint);
  });
});

describe('state of rows that only a window looks at', () => {
  for (const type of types) stateConformance(`windowed ${typeName(type)}`, subject(type, true));

  const pass = (state: SequenceState, rows: number): void => {
    state.begin(rows);
    state.commit(rows);
  };
  const openLong = (capacity: number, more: Partial<LayeredStateOptions> = {}) => {
    const rows = { kind: 'rows', heads: 1, keys: 2048, values: 2048 } as const;
    const layers: LayerState[] = [
      { ...rows, window: 256 },
      { ...rows, window: 128 },
    ];
    const options = { backend, layers, capacity, type: GgmlType.F16, identity: '' };
    return new LayeredState({ ...options, ...more });
  };

  it('takes memory for the window and what a text may go back to, however long it gets', () => {
    const admitted: number[] = [];
    using state = openLong(40_000, { admit: (bytes) => admitted.push(bytes) });
    const positionBytes = 4 * 4096;
    if (process.platform === 'linux' || process.platform === 'darwin') {
      assert.ok(state.bytes <= 3500 * positionBytes, `${state.bytes}`);
    }
    const block = new Uint8Array(state.blockBytes('window', 0)).fill(7);
    const before = process.memoryUsage.rss();
    let most = 0;
    for (let length = 0; length < 39_936; length += 512) {
      state.begin(512);
      for (let index = 0; index < 8; index++)
        state.writeBlock('window', length / 64 + index, block);
      state.commit(512);
      if (length % 4096 === 0) state.checkpoint(state.length);
      most = Math.max(most, process.memoryUsage.rss() - before);
    }
    const asked = admitted.reduce((sum, bytes) => sum + bytes, 0);
    assert.ok(asked <= state.bytes, `${asked} of ${state.bytes}`);
    // All rows take 624 MiB. Elsewhere the system may take its time.
    if (process.platform === 'linux') assert.ok(most < 200 * 2 ** 20, `${most} bytes`);
  });

  it('goes back a little to anywhere, and far to checkpoints, of which it keeps a few', () => {
    using state = openLong(20_000);
    pass(state, 1000);
    state.checkpoint(700);
    for (let length = 1000; length < 6000; length += 50) {
      pass(state, 50);
      if (length % 500 === 0) state.checkpoint(state.length - 20);
    }
    for (let back = 0; back <= 256; back++) assert.equal(state.reachable(6000 - back), 6000 - back);
    const kept = Array.from({ length: 5400 }, (_, at) => at).filter(
      (at) => state.reachable(at) === at,
    );
    assert.ok(kept.length > 300 && kept.length < 2000, `${kept.length}`);
    assert.ok(kept.some((at) => at > 500 && at < 4500));
    const far = state.reachable(4800);
    assert.ok(far > 0);
    state.truncate(far);
    assert.equal(state.length, far);
    // What was lost stays lost.
    assert.ok(!state.holds('window', 0, 100) && !state.holds('window', far, far + 1));
    pass(state, 10);
  });

  it('keeps checkpoints of the past only where the rows before them are there', () => {
    using state = openLong(20_000);
    for (let length = 0; length < 5000; length += 500) pass(state, 500);
    const bytes = state.reachable(2000);
    state.checkpoint(2000);
    assert.equal(state.reachable(2000), bytes);
    assert.ok(bytes < 2000);
  });

  it('says which rows a text needs to go on', () => {
    using state = openLong(20_000);
    assert.equal(state.neededFrom('window', 100), 0);
    assert.equal(state.neededFrom('window', 1000), 640);
    assert.equal(state.neededFrom('whole', 1000), 0);
    const fixed = new Uint8Array();
    state.resume(1000, fixed);
    assert.ok(state.holds('window', 640, 1000) && !state.holds('window', 639, 1000));
    assert.equal(state.reachable(999), 999);
    assert.equal(state.reachable(800), 0);
  });
});

describe('state that cannot go back', () => {
  const rows = subject(GgmlType.F16);
  stateConformance('forgetful', {
    ...rows,
    create: () => new ForgetfulState(rows.create()),
    createOther: () => new ForgetfulState(rows.createOther()),
  });
});

/** Sizes of a made-up layer that folds: two rows before a row matter, and all rows in the folded part. */
const folding = { kind: 'recurrent', folded: 5, inputs: 3, tail: 2 } as const;
const foldingLayers = [0, 5];

/** A state as the kernels write it: the folded part, then rows before it, then rows after it. */
class Folded {
  static readonly rows = folding.tail + loggedRows;
  readonly values: Float32Array;

  constructor(values: Float32Array = new Float32Array(folding.folded + Folded.rows * 3)) {
    this.values = values;
  }

  static of(tensor: Tensor | undefined): Folded {
    const values = new Folded().values;
    if (tensor !== undefined) readTensorBytes(backend, tensor, values);
    return new Folded(values);
  }

  row(index: number): Float32Array {
    const start = folding.folded + index * folding.inputs;
    return this.values.subarray(start, start + folding.inputs);
  }

  /** The row behind the tail becomes part of what is folded. */
  fold(): void {
    const [first, second, own] = [0, 1, 2].map((index) => this.row(index));
    for (let at = 0; at < folding.folded; at++) {
      const seen = (own?.[at % 3] ?? 0) + 3 * (first?.[0] ?? 0) + 5 * (second?.[1] ?? 0);
      this.values[at] = ((this.values[at] ?? 0) * 7 + seen + at) % 65521;
    }
    this.values.copyWithin(folding.folded, folding.folded + folding.inputs);
  }
}

const hybridLayers = (windowed = false): readonly LayerState[] => [
  folding,
  ...layersOf(windowed ? window : undefined),
  folding,
];

function hybridSubject(windowed = false): StateSubject {
  const rows = subject(GgmlType.F16, windowed);
  const layers = hybridLayers(windowed);
  const opening = { layers, capacity: 200 * (rows.scale ?? 1) };
  // The row layers of the hybrid stand one place further.
  const rowsOf = (state: SequenceState): SequenceState =>
    new Proxy(state, {
      get(target, key) {
        if (key === 'layer') return (index: number) => target.layer(index + 1);
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  return {
    scale: rows.scale ?? 1,
    create: () => open(opening),
    createOther: () => open({ ...opening, identity: 'other weights' }),
    write(state, tokens) {
      rows.write(rowsOf(state), tokens);
      for (const layer of foldingLayers) {
        const { from, to, logged } = state.recurrent?.(layer) ?? assert.fail();
        const next = Folded.of(from);
        for (let row = 0; row < logged; row++) next.fold();
        const short = tokens.length <= loggedRows;
        for (const [index, token] of tokens.entries()) {
          next.row(folding.tail + (short ? index : 0)).set([token, token + layer, 1]);
          if (!short) next.fold();
        }
        writeTensor(backend, to, next.values);
      }
    },
    read(state) {
      // What was gone back to is written when a pass begins.
      state.begin(0);
      state.commit(0);
      const parts = foldingLayers.map((layer) => {
        const { from, logged } = state.recurrent?.(layer) ?? assert.fail();
        const all = Folded.of(from);
        for (let row = 0; row < logged; row++) all.fold();
        const used = folding.folded + folding.tail * folding.inputs;
        return new Uint8Array(all.values.slice(0, used).buffer);
      });
      return Buffer.concat([rows.read(rowsOf(state)), ...parts]);
    },
  };
}

describe('state of rows and of what is folded', () => {
  const own = hybridSubject();
  stateConformance('hybrid', own);
  stateConformance('hybrid with windows', hybridSubject(true));

  const pass = (state: SequenceState, rows: number, kept = rows): void => {
    state.begin(rows);
    own.write(
      state,
      Array.from({ length: rows }, (_, at) => state.length + at),
    );
    state.commit(kept);
  };

  it('keeps all or none of a pass that is longer than its log', () => {
    using state = own.create();
    state.begin(loggedRows + 1);
    assert.throws(() => state.commit(3), { code: 'internal' });
  });

  it('goes back freely inside the last short pass', () => {
    using state = own.create();
    pass(state, 40);
    pass(state, 9);
    assert.equal(state.reachable(44), 44);
    assert.equal(state.reachable(39), 0);
    state.truncate(44);
    const before = own.read(state);
    pass(state, 3, 0);
    assert.deepEqual(own.read(state), before);
  });

  it('keeps few checkpoints, the farther apart the farther they are back', () => {
    using state = own.create();
    const { bytes } = state;
    for (let length = 0; length < 200; length += 5) {
      pass(state, 5);
      state.checkpoint(state.length);
    }
    const kept = Array.from({ length: 201 }, (_, at) => at).filter(
      (at) => state.reachable(at) === at,
    );
    const gaps = kept.slice(1).map((at, index) => at - (kept[index] as number));
    // Nothing, eight checkpoints, and the log of the last pass.
    assert.ok(kept.length <= 9 + 5, kept.join());
    assert.ok((gaps[0] as number) > 5 && Math.max(...gaps) < 120, kept.join());
    assert.ok(state.reachable(194) >= 190);
    assert.ok(state.bytes > bytes);
  });

  it('goes without checkpoints where there is no memory for them', () => {
    const layers = hybridLayers();
    const options = { backend, layers, capacity: 200, type: GgmlType.F16, identity: '' };
    let full = false;
    const admit = () => {
      if (full) throw new PacelineError('memory', 'no more');
    };
    using state = new LayeredState({ ...options, admit });
    pass(state, 40);
    full = true;
    state.checkpoint(40);
    pass(state, 20);
    assert.equal(state.reachable(59), 0);
  });

  it('refuses what is no saved state', () => {
    using state = own.create();
    pass(state, 20);
    const fixed = state.readFixed(20);
    for (const bytes of [fixed.subarray(4), new Uint8Array(0), fixed.map((byte) => byte ^ 255)]) {
      assert.throws(() => state.resume(20, bytes), { code: 'broken-file' });
    }
  });
});
