/** The promises of src/cache/state.ts; every kind of state is run through them. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { SequenceState } from '../../src/cache/state.js';

export interface StateSubject {
  /** A fresh state with room for 200 positions. */
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
  const { create, write, read } = subject;
  const pass = (state: SequenceState, tokens: readonly number[], kept = tokens.length): void => {
    state.begin(tokens.length);
    write(state, tokens);
    state.commit(kept);
  };
  /** A state that has seen exactly these tokens, one by one. */
  const shown = (tokens: readonly number[]): SequenceState => {
    const state = create();
    for (const token of tokens) pass(state, [token]);
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
    const tokens = text(90);
    using state = create();
    pass(state, tokens.slice(0, 40));
    pass(state, tokens.slice(40, 41));
    pass(state, tokens.slice(41));
    assertSame(state, tokens);
  });

  check('undoes the rows of a pass that do not belong to the text', async () => {
    const tokens = text(20);
    using state = create();
    pass(state, tokens);
    const drafts = text(Math.min(6, state.mostProvisional), 9);
    for (let kept = 0; kept <= drafts.length; kept++) {
      using fork = await forked(state);
      pass(fork, drafts, kept);
      assertSame(fork, [...tokens, ...drafts.slice(0, kept)]);
      pass(fork, [3, 4]);
      assertSame(fork, [...tokens, ...drafts.slice(0, kept), 3, 4]);
    }
    // A pass that failed, however long.
    pass(state, text(70, 5), 0);
    assertSame(state, tokens);
  });

  check('refuses what does not fit, and counts that make no sense', () => {
    using state = create();
    pass(state, text(190));
    assert.throws(() => state.begin(11), { code: 'context-overflow' });
    state.begin(3);
    assert.throws(() => state.commit(4), { code: 'internal' });
    assert.throws(() => state.commit(-1), { code: 'internal' });
    state.commit(0);
    assert.throws(() => state.commit(0), { code: 'internal' });
    assert.equal(state.length, 190);
  });

  check('goes back to where it says that it can', () => {
    const tokens = text(150);
    using state = create();
    pass(state, tokens.slice(0, 60));
    state.checkpoint();
    pass(state, tokens.slice(60, 100));
    state.checkpoint();
    pass(state, tokens.slice(100));
    for (const length of [150, 149, 100, 80, 60, 13, 0]) {
      const reached = state.reachable(length);
      assert.ok(reached <= length);
      if (length === 0 || length === state.length) assert.equal(reached, length);
      // A checkpoint is reached from everywhere behind it.
      assert.ok(reached >= (length >= 100 ? 100 : length >= 60 ? 60 : 0), `${length}: ${reached}`);
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
    const tokens = text(70);
    using state = create();
    pass(state, tokens.slice(0, 64));
    state.checkpoint();
    pass(state, tokens.slice(64));
    using fork = await forked(state);
    assertSame(fork, tokens);
    state.truncate(0);
    pass(state, text(30, 77));
    assertSame(fork, tokens);
    pass(fork, [1]);
    assertSame(fork, [...tokens, 1]);
    assertSame(state, text(30, 77));
    assert.ok(fork.reachable(66) >= 64, 'checkpoints go with it');
    // A fork of a fork that is still being made, and both freed before they are.
    const [second, third] = [fork.fork(), fork.fork()];
    using fourth = third.fork();
    second.dispose();
    third.dispose();
    await fourth.pending;
    await fork.pending;
    assertSame(fourth, [...tokens, 1]);
  });

  check('is saved in blocks and what does not grow, and goes on elsewhere', () => {
    for (const length of [1, 64, 100, 200]) {
      const tokens = text(length);
      using state = create();
      pass(state, tokens);
      using other = create();
      pass(other, text(33, 5));
      assert.equal(other.fingerprint, state.fingerprint);
      const blocks = Math.ceil(length / state.blockLength);
      for (let index = 0; index < blocks; index++) {
        const bytes = new Uint8Array(state.blockBytes(index));
        state.readBlock(index, bytes);
        other.writeBlock(index, bytes);
        assert.throws(() => other.writeBlock(index, bytes.subarray(1)), { code: 'internal' });
      }
      other.resume(length, state.readFixed(length));
      assertSame(other, tokens);
      if (length === 200) continue;
      pass(other, [7]);
      assertSame(other, [...tokens, 7]);
    }
    using state = create();
    assert.throws(() => state.readBlock(99, new Uint8Array()), { code: 'internal' });
    assert.throws(() => state.resume(500, state.readFixed(0)), { code: 'context-overflow' });
    assert.throws(() => state.resume(0, new Uint8Array(7)), { code: 'broken-file' });
  });

  check('tells models apart by its fingerprint', () => {
    using state = create();
    using other = subject.createOther();
    assert.notEqual(state.fingerprint, other.fingerprint);
  });
}
