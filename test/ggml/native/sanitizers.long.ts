/**
 * The kernels under the compiler's sanitizers: bad addresses and undefined behaviour, and races
 * between threads. The best path of this machine and the portable one.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { repository } from '../../support/repository.js';

type Build = (kind: string, names: readonly string[]) => Promise<readonly string[] | undefined>;

/** Arguments that keep each program below a minute. */
const programs: Readonly<Record<string, readonly string[]>> = {
  pool_test: ['400'],
  attention_test: ['', '1', '1'],
  compressed_test: ['', '2', '1'],
  linear_test: [],
};

describe('the kernels under sanitizers', () => {
  for (const kind of ['address,undefined', 'thread']) {
    it(kind, async (context) => {
      const script = pathToFileURL(join(repository, 'native', 'build.mjs')).href;
      const { buildSanitized } = (await import(script)) as { buildSanitized: Build };
      const built = await buildSanitized(kind, Object.keys(programs));
      if (built === undefined) return context.skip('needs a compiler with sanitizers');
      for (const [index, [name, words]] of Object.entries(programs).entries()) {
        // A finding ends the program with another code, and its report is in the error.
        const text = execFileSync(built[index] as string, words, { encoding: 'utf8' });
        assert.notEqual(text, '', name);
      }
    });
  }
});
