/** Loading onto a card that ends early: killed, out of memory, aborted. Nothing is left behind. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import type { Backend } from '../../src/ggml/backend.js';
import { loadGgml } from '../../src/ggml/library.js';
import { loadModel } from '../../src/index.js';
import { paceline } from '../support/cli.js';
import { scarceMemory } from '../support/scarce-memory.js';
import { temporaryFile } from '../support/tiny-model.js';

const device = process.env.PACELINE_TEST_DEVICE ?? 'Vulkan0';
const options = { device, contextLength: 256 } as const;

/** The library's functions, one of which is replaced. */
interface Mutable {
  readonly base: Record<string, (...words: number[]) => number>;
}

/** Counts what all backends of this process take. */
const counted = () => scarceMemory({ ggml: loadGgml() } as Backend);

describe('loading onto a card', () => {
  it('without memory, wherever it ends, gives all back', async () => {
    using memory = counted();
    const held = memory.held;
    let ofCard = 0;
    for (let allowed = 0; ; allowed++) {
      memory.allow(allowed);
      const error = await loadModel('default', options).then(
        (model) => model.dispose(),
        (reason: unknown) => reason,
      );
      assert.equal(memory.held, held, `after ${allowed} allocations`);
      if (error === undefined) break;
      assert.ok(PacelineError.is(error) && error.code === 'memory', String(error));
      if (error.details?.device === undefined) continue;
      ofCard++;
      assert.match(error.message, new RegExp(`^${device} has \\d+ MiB free, and .* take`));
      assert.match(error.hint ?? '', /--gpu-layers/);
    }
    assert.ok(ofCard > 0, 'no allocation on the card was refused');
  });

  it('without memory for the weights says how many layers would fit', async () => {
    const { base } = loadGgml() as unknown as Mutable;
    const name = 'ggml_backend_alloc_ctx_tensors_from_buft';
    const native = base[name] as (...words: number[]) => number;
    const host = base.ggml_backend_cpu_buffer_type?.();
    let refused = 0;
    base[name] = (context = 0, type = 0) =>
      type !== host && refused++ === 0 ? 0 : native(context, type);
    try {
      await assert.rejects(
        loadModel('default', options),
        (error) =>
          PacelineError.is(error) &&
          error.code === 'memory' &&
          /free, and weights take \d+ MiB/.test(error.message) &&
          /room for 7 layers/.test(error.hint ?? '') &&
          error.details?.fits === 7,
      );
      assert.equal(refused, 1);
    } finally {
      base[name] = native;
    }
  });

  it('that is aborted gives all back', async () => {
    using memory = counted();
    const held = memory.held;
    const stop = new AbortController();
    const onProgress = () => stop.abort();
    await assert.rejects(
      loadModel('default', { ...options, onProgress, signal: stop.signal }),
      (error) => PacelineError.is(error) && error.code === 'aborted',
    );
    assert.equal(memory.held, held);
  });

  it('and is killed leaves no file', async () => {
    const home = temporaryFile('home');
    mkdirSync(home, { recursive: true });
    const own = { HOME: home, TMPDIR: home, XDG_CACHE_HOME: home, XDG_DATA_HOME: home };
    // What the driver keeps of its shaders is none of ours.
    const env = { ...own, MESA_SHADER_CACHE_DISABLE: 'true' };
    for (const timeoutMs of [200, 600, 1200, 2400]) {
      const words = ['run', 'default', 'x', '-n', '400', '--device', device, '--no-cache'];
      const { signal } = await paceline(words, { env, timeoutMs });
      assert.equal(signal, 'SIGKILL');
    }
    assert.deepEqual(readdirSync(home, { recursive: true }), []);
  });
});
