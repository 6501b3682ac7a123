/** State of layers with rows of blocks of positions against the conformance suite, and what it takes. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { LayeredState, type LayeredStateOptions } from '../../src/cache/layered-state.js';
import type { Range } from '../../src/cache/ranges.js';
import type { RowMemory } from '../../src/cache/row-memory.js';
import { readTensorBytes, writeTensor } from '../../src/ggml/allocation.js';
import { Backend } from '../../src/ggml/backend.js';
import { loggedRows } from '../../src/ggml/recurrent-shape.js';
import type { Tensor } from '../../src/ggml/tensor.js';
import { GgmlType, typeName } from '../../src/ggml/types.js';
import type { LayerState } from '../../src/models/layer-state.js';
import { type StateSubject, stateConformance } from './state-conformance.js';

const backend = new Backend({ threads: 1 });
after(() => backend.dispose());

const row = (width: number) => ({ heads: 1, keys: width, values: 0, valuesInKeys: width });
const compressed = (ratio: number, widths: readonly number[], tail: number) =>
  ({
    kind: 'compressed',
    ...{ window: 16, ratio, blocks: widths.map(row), ...row(64) },
    frontier: { folded: 0, inputs: 3, tail },
  }) as const;
const layers = [
  compressed(4, [64, 32], 7),
  { kind: 'rows', window: 16, ...row(64) },
  compressed(128, [64], 127),
  compressed(4, [64, 32], 7),
] as const satisfies readonly LayerState[];

function open(more: Partial<LayeredStateOptions> = {}): LayeredState {
  const spoil = (memory: RowMemory, { from, end }: Range) =>
    memory.write(from, end, new Uint8Array(memory.bytesOf(from, end)).fill(0xa5));
  return new LayeredState({
    ...{ backend, layers, capacity: 1600, type: GgmlType.F16, identity: 'weights', onLost: spoil },
    ...more,
  });
}

const floats = (tensor: Tensor): Float32Array => {
  const values = new Float32Array(tensor.elements);
  readTensorBytes(backend, tensor, values);
  return values;
};
/** Fills a row of bytes. */
const fill = (tensor: Tensor, at: number, value: number): void =>
  writeTensor(
    backend,
    tensor,
    new Uint8Array(tensor.strides[1]).fill(value),
    at * tensor.strides[1],
  );

/** A row of a block is the sum of what the frontier knows of its positions. */
function subject(type: GgmlType): StateSubject {
  return {
    scale: 8,
    create: () => open({ type }),
    createOther: () => open({ type, identity: 'other weights' }),
    write(state, tokens) {
      const { length } = state;
      for (const [index, layer] of layers.entries()) {
        const { k } = state.layer(index);
        for (const [at, token] of tokens.entries()) fill(k, length + at, token + index);
        if (layer.kind !== 'compressed') continue;
        const { inputs, tail } = layer.frontier;
        const { from, to, logged } = state.recurrent?.(index) ?? assert.fail();
        const known: number[] = Array(tail).fill(0);
        if (from) {
          const values = floats(from);
          for (let at = 0; at < tail; at++) known[at] = values[(at + logged) * inputs] as number;
        }
        known.push(...tokens);
        for (let end = length + 1; end <= length + tokens.length; end++) {
          if (end % layer.ratio !== 0) continue;
          const last = tail + end - length;
          const sum = known.slice(last - layer.ratio, last).reduce((a, b) => a + b, 0);
          for (const [kind, blocks] of (state.blocks?.(index) ?? []).entries()) {
            fill(blocks, end / layer.ratio - 1, (sum + kind + index) % 251);
          }
        }
        const values = new Float32Array(to.elements).fill(-1);
        const kept = tokens.length <= loggedRows ? known : known.slice(-tail);
        for (const [at, value] of kept.entries()) values[at * inputs] = value;
        writeTensor(backend, to, values);
      }
    },
    read(state) {
      state.begin(0);
      state.commit(0);
      const { length } = state;
      const parts = layers.flatMap((layer, index): Uint8Array[] => {
        const { k } = state.layer(index);
        const window = new Uint8Array(length * k.strides[1]);
        readTensorBytes(backend, k, window);
        window.fill(0, 0, state.neededFrom('window', length) * k.strides[1]);
        if (layer.kind !== 'compressed') return [window];
        const blocks = (state.blocks?.(index) ?? []).map((tensor) => {
          const bytes = new Uint8Array(Math.floor(length / layer.ratio) * tensor.strides[1]);
          readTensorBytes(backend, tensor, bytes);
          return bytes;
        });
        const { from, logged } = state.recurrent?.(index) ?? assert.fail();
        const { inputs, tail } = layer.frontier;
        const values = from ? floats(from) : new Float32Array();
        const last = Array.from({ length: from ? tail : 0 }, (_, at) =>
          Math.round(values[(at + logged) * inputs] as number),
        );
        return [window, ...blocks, Uint8Array.from(last)];
      });
      return Buffer.concat(parts);
    },
  };
}

describe('state of rows of blocks', () => {
  for (const type of [GgmlType.F16, GgmlType.F32, GgmlType.Q8_0]) {
    stateConformance(`compressed ${typeName(type)}`, subject(type));
  }

  it('saves whole blocks of every length in one unit, and keeps a row for each', () => {
    using state = open();
    assert.equal(state.blockLength, 128);
    // 32 rows of 4 positions in two layers, and one of 128.
    assert.equal(state.blockBytes('whole', 0), 2 * (2 * 32 * (64 + 32) + 64));
    assert.equal(state.blockBytes('whole', 0, 127), 2 * 2 * 31 * (64 + 32));
    assert.deepEqual(
      state.blocks(0).map(({ shape }) => shape.slice(0, 2)),
      [
        [64, 400],
        [32, 400],
      ],
    );
    assert.throws(() => state.blocks(1), { code: 'internal' });
  });

  it('has no room for a block where a text cannot have one', () => {
    using state = open({ capacity: 100 });
    state.begin(100);
    state.commit(100);
    assert.equal(state.length, 100);
    assert.equal(state.blockBytes('whole', 0), 2 * 2 * 25 * (64 + 32));
  });
});
