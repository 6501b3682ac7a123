/** Every kind of state against the one conformance suite. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { LayeredState } from '../../src/cache/layered-state.js';
import type { SequenceState } from '../../src/cache/state.js';
import { readTensorBytes, writeTensor } from '../../src/ggml/allocation.js';
import { Backend } from '../../src/ggml/backend.js';
import { storedPositions } from '../../src/ggml/cache-rows.js';
import type { Tensor } from '../../src/ggml/tensor.js';
import { GgmlType, typeName } from '../../src/ggml/types.js';
import type { LayerState } from '../../src/models/layer-state.js';
import { ForgetfulState } from './forgetful-state.js';
import { type StateSubject, stateConformance } from './state-conformance.js';

const backend = new Backend({ threads: 1 });
after(() => backend.dispose());

const layers: readonly LayerState[] = [
  { kind: 'rows', heads: 1, keys: 64, values: 128 },
  { kind: 'none' },
  { kind: 'rows', heads: 2, keys: 128, values: 128, window: 16 },
  { kind: 'shared', layer: 0 },
];

function open(type: GgmlType, identity = 'weights'): LayeredState {
  return new LayeredState({ backend, layers, capacity: 200, type, identity });
}

/** Tensors and the places of their positions' bytes: in blocks, bytes of several positions mix. */
function subject(type: GgmlType): StateSubject {
  const tensors = (state: SequenceState): Tensor[] =>
    [0, 2].flatMap((layer) => {
      const { k, v } = state.layer(layer);
      return [k, v];
    });
  // In blocks of 64 positions a position's bytes may lie anywhere: here, as stripes.
  const block = storedPositions(type, 1);
  return {
    create: () => open(type),
    createOther: () => open(type, 'other weights'),
    write(state, tokens) {
      for (const [at, tensor] of tensors(state).entries()) {
        const row = tensor.strides[1];
        for (const [index, token] of tokens.entries()) {
          const position = state.length + index;
          const first = Math.floor(position / block) * block * row;
          if (block === 1) {
            writeTensor(backend, tensor, new Uint8Array(row).fill(token + at), first);
            continue;
          }
          for (let stripe = 0; stripe < row; stripe += 64) {
            const place = first + stripe * block + (position % block) * Math.min(64, row - stripe);
            const bytes = new Uint8Array(Math.min(64, row - stripe)).fill(token + at);
            writeTensor(backend, tensor, bytes, place);
          }
        }
      }
    },
    read(state) {
      const parts = tensors(state).map((tensor) => {
        const row = tensor.strides[1];
        const bytes = new Uint8Array(storedPositions(type, state.length) * row);
        readTensorBytes(backend, tensor, bytes);
        // What lies past the length is garbage.
        if (block > 1) {
          for (let position = state.length; position < bytes.length / row; position++) {
            const first = Math.floor(position / block) * block * row;
            for (let stripe = 0; stripe < row; stripe += 64) {
              const size = Math.min(64, row - stripe);
              const place = first + stripe * block + (position % block) * size;
              bytes.fill(0, place, place + size);
            }
          }
        }
        return bytes;
      });
      return Buffer.concat(parts);
    },
  };
}

describe('state of rows', () => {
  for (const type of [GgmlType.F16, GgmlType.F32, GgmlType.Q8_0, GgmlType.I16]) {
    stateConformance(typeName(type), subject(type));
  }

  it('gives layers that share another one’s rows those rows', () => {
    using state = open(GgmlType.F16);
    assert.equal(state.layer(3).k, state.layer(0).k);
    assert.throws(() => state.layer(1), { code: 'internal' });
    assert.throws(() => state.layer(4), { code: 'internal' });
  });

  it('gives memory behind the text back to the system, and keeps what is before', async () => {
    const rows: LayerState = { kind: 'rows', heads: 1, keys: 4096, values: 4096 };
    const options = { backend, capacity: 8192, type: GgmlType.F16, identity: '' };
    using state = new LayeredState({ ...options, layers: [rows] });
    const block = new Uint8Array(state.blockBytes(0)).fill(7);
    for (let index = 0; index < 128; index++) state.writeBlock(index, block);
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
      state.readBlock(index, kept);
      assert.ok(Buffer.compare(kept, block) === 0, `block ${index}`);
    }
    state.writeBlock(100, block);
    state.readBlock(100, kept);
    assert.ok(Buffer.compare(kept, block) === 0, 'it can be used again');
  });

  it('says so where there is no memory for a kind', () => {
    const recurrent: LayerState = { kind: 'recurrent', tensors: [{ name: 's', shape: [4] }] };
    const options = { backend, capacity: 8, type: GgmlType.F16, identity: '' };
    assert.throws(() => new LayeredState({ ...options, layers: [recurrent] }), {
      code: 'unsupported-architecture',
    });
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
    using half = open(GgmlType.F16);
    using float = open(GgmlType.F32);
    assert.notEqual(half.fingerprint, float.fingerprint);
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
