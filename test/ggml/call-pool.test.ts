/** A pool of threads ends whenever it is asked to: while its threads start, idle, or with calls in hand. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CallPool } from '../../src/ggml/call-pool.js';
import { loadGgml } from '../../src/ggml/library.js';

const signatures = { ggml_type_size: ['size', ['int']] } as const;
const open = () => new CallPool({ library: loadGgml().basePath, signatures, threads: 2 });

describe('a pool of threads', () => {
  it('lets its threads come up before it ends them', async () => {
    for (let delay = 0; delay < 60; delay += 6) {
      const pool = open();
      await new Promise((resolve) => setTimeout(resolve, delay));
      await pool.dispose();
      await pool.dispose();
    }
  });

  it('calls what it declares, and refuses what waits when it ends', async () => {
    const pool = open();
    assert.deepEqual(await pool.run([['ggml_type_size', 0]]), [4]);
    const late = pool.run([['ggml_type_size', 0]]);
    await Promise.all([assert.rejects(late, { code: 'disposed' }), pool.dispose()]);
    await assert.rejects(pool.run([['ggml_type_size', 0]]), { code: 'disposed' });
  });
});
