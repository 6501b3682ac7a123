/** The promises of src/cache/state.ts; every kind of state is run through them. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { SequenceState } from '../../src/cache/state.js';

export interface StateSubject {
  /** What lengths are multiplied with, so that more is lost than a state keeps anyway. Default: 1. */
  readonly scale?: number;
  /** A fresh state with room for 200 positions, times the scale. */
  readonly create: () => SequenceState;
  /** One for another model. */
  readonly createOther: () => SequenceState;
  /**
   * What a pass does to the state: writes rows for these tokens behind its length, so that what is
   * kept depends on all tokens before.
   */
  readonly write: (state: SequenceState, tokens: readonly number[]) => void;
  /** All that a next pass would see, as bytes. */
  readonly read: (state: SequenceState) => Uint8Array;
}

export function stateConformance(name: string, subject: StateSubject): void {
  const { create, write, read, scale = 1 } = subject;
  const x = (length: number): number => length * scale;
  const pass = (state: SequenceState, tokens: readonly number[], kept = tokens.length): void => {
    state.begin(tokens.length);
    write(state, tokens);
    state.commit(kept);
  };
  /** A state that has seen exactly these tokens, a few at a time. */
  const shown = (tokens: readonly number[]): SequenceState => {
    const state = create();
    for (let at = 0; at < tokens.length; at += scale) pass(state, tokens.slice(at, at + scale));
    return state;
  };
  const text = (length: number, salt = 0): number[] =>
    Array.from({ length }, (_, at) => (at * 31 + at * at * 7 + salt) % 251);
  const assertSame = (state: SequenceState, tokens: readonly number[]): void => {
    using fresh = shown(tokens);
    assert.equal(state.length, tokens.length);
    assert.ok(Buffer.compare(read(state), read(fresh)) === 0, `as after ${tokens.length} tokens`);
  };
  const check = (title: string, body: () => Promise<void> | void) => it(`${name}: ${title}`, body);
  /** A fork that can be used. */
  const forked = async (state: SequenceState): Promise<SequenceState> => {
    const fork = state.fork();
    await Promise.all([state.pending, fork.pending]);
    return fork;
  };

  check('is the same however its tokens came', () => {
    const tokens = text(x(90));
    using state = create();
    pass(state, tokens.slice(0, x(40)));
    pass(state, tokens.slice(x(40), x(40) + 1));
    pass(state, tokens.slice(x(40) + 1));
    assertSame(state, tokens);
  });

  check('undoes the rows of a pass that do not belong to the text', async () => {
    const tokens = text(x(20));
    using state = create();
    pass(state, tokens.slice(0, x(10)));
    pass(state, tokens.slice(x(10)));
    const drafts = text(Math.min(6, state.mostProvisional), 9);
    for (let kept = 0; kept <= drafts.length; kept++) {
      using fork = await forked(state);
      pass(fork, drafts, kept);
      assertSame(fork, [...tokens, ...drafts.slice(0, kept)]);
      pass(fork, [3, 4]);
      assertSame(fork, [...tokens, ...drafts.slice(0, kept), 3, 4]);
    }
    // A pass that failed, however long.
    pass(state, text(x(70), 5), 0);
    assertSame(state, tokens);
  });

  check('refuses what does not fit, and counts that make no sense', () => {
    using state = create();
    const { capacity } = state;
    pass(state, text(capacity - 10));
    assert.throws(() => state.begin(11), { code: 'context-overflow' });
    state.begin(3);
    assert.throws(() => state.commit(4), { code: 'internal' });
    assert.throws(() => state.commit(-1), { code: 'internal' });
    state.commit(0);
    assert.throws(() => state.commit(0), { code: 'internal' });
    assert.equal(state.length, capacity - 10);
  });

  check('goes back to where it says that it can', () => {
    const tokens = text(x(150));
    using state = create();
    pass(state, tokens.slice(0, x(60)));
    state.checkpoint(x(60));
    pass(state, tokens.slice(x(60), x(100)));
    state.checkpoint(x(100));
    pass(state, tokens.slice(x(100), x(149)));
    pass(state, tokens.slice(x(149)));
    for (const length of [x(150), x(150) - 1, x(100), x(80), x(60), 13, 0]) {
      const reached = state.reachable(length);
      assert.ok(reached <= length);
      if (length === 0 || length === state.length) assert.equal(reached, length);
      // A checkpoint is reached from everywhere behind it.
      const least = [x(100), x(60), 0].find((at) => at <= length) ?? 0;
      assert.ok(reached >= least, `${length}: ${reached}`);
      if (state.canGoBack) assert.equal(reached, length);
      if (reached !== length) {
        assert.throws(() => state.truncate(length), { code: 'internal' });
      }
      state.truncate(reached);
      assertSame(state, tokens.slice(0, reached));
    }
    assert.throws(() => state.truncate(1), { code: 'internal' });
    pass(state, [8, 9]);
    assertSame(state, [8, 9]);
  });

  check('forks into independent copies', async () => {
    const tokens = text(x(70));
    using state = create();
    pass(state, tokens.slice(0, x(64)));
    state.checkpoint(x(64));
    pass(state, tokens.slice(x(64)));
    using fork = await forked(state);
    assertSame(fork, tokens);
    state.truncate(0);
    pass(state, text(x(30), 77));
    assertSame(fork, tokens);
    pass(fork, [1]);
    assertSame(fork, [...tokens, 1]);
    assertSame(state, text(x(30), 77));
    assert.ok(fork.reachable(x(66)) >= x(64), 'checkpoints go with it');
    // A fork of a fork that is still being made, and both freed before they are.
    const [second, third] = [fork.fork(), fork.fork()];
    using fourth = third.fork();
    second.dispose();
    third.dispose();
    await fourth.pending;
    await fork.pending;
    assertSame(fourth, [...tokens, 1]);
  });

  check('takes rows of another one, which may be disposed of meanwhile', async () => {
    for (const length of [1, 64, x(100), x(200)]) {
      const tokens = text(length);
      const state = create();
      pass(state, tokens);
      using other = create();
      pass(other, text(x(33), 5));
      const fixed = state.readFixed(length);
      const copies = state.rowKinds.map((kind) =>
        other.copyRows(kind, state, state.neededFrom(kind, length), length),
      );
      state.dispose();
      await Promise.all(copies);
      other.resume(length, fixed);
      assertSame(other, tokens);
    }
  });

  check('is saved in blocks and what does not grow, and goes on elsewhere', () => {
    for (const length of [1, 64, x(100), x(200)]) {
      const tokens = text(length);
      using state = create();
      pass(state, tokens);
      using other = create();
      pass(other, text(x(33), 5));
      assert.equal(other.fingerprint, state.fingerprint);
      const blocks = Math.ceil(length / state.blockLength);
      for (const kind of state.rowKinds) {
        const from = state.neededFrom(kind, length);
        assert.ok(state.holds(kind, from, length));
        assert.ok(!state.holds(kind, from, length + 1));
        for (let index = from / state.blockLength; index < blocks; index++) {
          const rows = length - index * state.blockLength;
          const bytes = new Uint8Array(state.blockBytes(kind, index, rows));
          assert.ok(bytes.length <= state.blockBytes(kind, index));
          state.readBlock(kind, index, bytes, rows);
          other.writeBlock(kind, index, bytes, rows);
          // A text may end before the first row of a block of positions.
          const wrong = new Uint8Array(bytes.length + 1);
          assert.throws(() => other.writeBlock(kind, index, wrong, rows), { code: 'internal' });
        }
      }
      other.resume(length, state.readFixed(length));
      assertSame(other, tokens);
      if (length === x(200)) continue;
      pass(other, [7]);
      assertSame(other, [...tokens, 7]);
    }
    using state = create();
    const { capacity, blockLength } = state;
    const beyond = Math.ceil(capacity / blockLength);
    for (const kind of state.rowKinds) {
      assert.throws(() => state.readBlock(kind, beyond, new Uint8Array()), { code: 'internal' });
    }
    const none = state.readFixed(0);
    assert.throws(() => state.resume(capacity + 1, none), { code: 'context-overflow' });
    assert.throws(() => state.resume(0, new Uint8Array(7)), { code: 'broken-file' });
  });

  check('tells models apart by its fingerprint', () => {
    using state = create();
    using other = subject.createOther();
    assert.notEqual(state.fingerprint, other.fingerprint);
  });
}
