import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backendDocument } from '../support/backend-reference.js';
import { readRepositoryFile } from '../support/repository.js';

test('docs/upstreams.md says what the descriptors and the results say (npm run docs)', () => {
  assert.equal(readRepositoryFile('docs/upstreams.md'), backendDocument());
});
