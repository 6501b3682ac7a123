/** Every header of the kernels parses by itself: it includes what it uses, and may be included twice. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { repository } from '../../support/repository.js';

describe('headers of the kernels', () => {
  it('parse alone', async (context) => {
    const script = pathToFileURL(join(repository, 'native', 'build.mjs')).href;
    const { checkHeaders } = (await import(script)) as {
      checkHeaders(): Promise<readonly string[] | undefined>;
    };
    const problems = await checkHeaders();
    if (problems === undefined) return context.skip('needs a C++ compiler');
    assert.deepEqual(problems, []);
  });
});
