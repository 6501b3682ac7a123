/** Forks that find no memory: whatever was made for them is given back, and their origin goes on. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { LayeredState } from '../../src/cache/layered-state.js';
import { Backend } from '../../src/ggml/backend.js';
import { GgmlType } from '../../src/ggml/types.js';
import { loadModel, type Model } from '../../src/index.js';
import type { LayerState } from '../../src/models/layer-state.js';
import { scarceMemory } from '../support/scarce-memory.js';

const options = { temperature: 0, maxTokens: 6, draft: 'auto' } as const;

describe('a fork without memory', () => {
  let model: Model;
  before(async () => {
    model = await loadModel('default', { threads: 1, contextLength: 256 });
  });
  after(() => model.dispose());

  it('leaves nothing behind, wherever in it the memory ended', async () => {
    using session = model.createSession();
    const expected = await session.generate('Once there was', options);
    const more = [...session.tokens, ...expected.tokens.slice(-1)];
    assert.ok([...model.runtime.texts].some(({ openDrafters }) => openDrafters.length >= 3));
    using memory = scarceMemory(model.runtime.backend);
    let failures = 0;
    for (let allowed = 0; ; allowed++) {
      const held = memory.held;
      memory.allow(allowed);
      try {
        const fork = session.fork();
        memory.allow();
        const [here, there] = await Promise.all([
          session.generate(more, options),
          fork.generate(more, options),
        ]);
        assert.deepEqual(there.tokens, here.tokens);
        fork.dispose();
        break;
      } catch (error) {
        memory.allow();
        assert.ok(PacelineError.is(error) && error.code === 'memory', String(error));
        // What was being copied is freed when that has come to its end.
        for (const { state } of model.runtime.texts) await state.pending;
        await new Promise((resolve) => setImmediate(resolve));
        assert.equal(memory.held, held, `after ${allowed} allocations`);
        failures++;
      }
    }
    // The state, and what each of the two neural drafters keeps.
    assert.ok(failures >= 5, `${failures} failures`);
    assert.equal([...model.runtime.texts].length, 1);
  });

  it('opens all drafters of a text or none', () => {
    using memory = scarceMemory(model.runtime.backend);
    for (let allowed = 0; ; allowed++) {
      const text = model.runtime.createText();
      const held = memory.held;
      memory.allow(allowed);
      try {
        assert.ok(text.drafters.length >= 3);
        break;
      } catch (error) {
        assert.ok(PacelineError.is(error) && error.code === 'memory', String(error));
        assert.equal(memory.held, held, `after ${allowed} allocations`);
      } finally {
        memory.allow();
        model.runtime.release(text);
      }
    }
  });
});

describe('a state whose copy fails', () => {
  const backend = new Backend({ threads: 1 });
  after(() => backend.dispose());
  const layers: readonly LayerState[] = [{ kind: 'rows', heads: 1, keys: 64, values: 64 }];
  const open = (admit?: (bytes: number) => void) =>
    new LayeredState({ backend, layers, capacity: 200, type: GgmlType.F16, identity: '', admit });

  it('gives its memory back when no more is admitted', () => {
    using memory = scarceMemory(backend);
    let refuse = false;
    using state = open(() => {
      if (refuse) throw new PacelineError('memory', 'no more');
    });
    state.begin(3);
    state.commit(3);
    const { held } = memory;
    refuse = true;
    assert.throws(() => state.fork(), { code: 'memory' });
    assert.equal(memory.held, held);
  });

  it('goes on, and the copy is never computed with', async () => {
    using memory = scarceMemory(backend);
    using state = open();
    state.begin(3);
    state.commit(3);
    memory.failCopies();
    using copy = state.fork();
    await assert.rejects(copy.pending ?? Promise.resolve(), /no copy/);
    await state.pending;
    assert.throws(() => copy.begin(1), /no copy/);
    assert.throws(() => copy.fork(), /no copy/);
    state.begin(1);
    state.commit(1);
    assert.equal(state.length, 4);
  });
});
