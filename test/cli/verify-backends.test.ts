import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import type { Comparison, TextDifference } from '../../src/backends/compare.js';
import { renderComparison } from '../../src/cli/verify-backends-command.js';

const same: Comparison = {
  engines: ['one', 'other'],
  texts: 2,
  identical: 2,
  tokens: 9,
  differences: [],
  nearTies: 0,
  logprobs: { compared: 9, mean: 0.01, max: 0.02 },
  passed: true,
};

const difference: TextDifference = {
  prompt: 'const first = 1;\nexport function readAll(path: string) {\n',
  position: 7,
  said: ['a', 'b'],
  margins: [0.02, undefined],
  isNearTie: true,
};

const report = (comparison: Comparison): string =>
  stripVTControlCharacters(renderComparison(comparison));

describe('the comparison of two engines, for a person', () => {
  it('ends with what it found, on a line of its own', () => {
    assert.match(report(same), /\n\nagree\n$/);
    const ties = { ...same, identical: 1, differences: [difference], nearTies: 1 };
    assert.match(report(ties), /\n\nagree but for near-ties\n$/);
    assert.match(report({ ...ties, nearTies: 0, passed: false }), /\n\ndiffer\n$/);
  });

  it('says where they differ, and how sure each was', () => {
    const text = report({ ...same, identical: 1, differences: [difference], nearTies: 1 });
    assert.match(text, /^7 tokens after "…function readAll\(path: string\) \{\\n", a near-tie:$/m);
    assert.match(text, /^ {2}"a" by 0\.020 nats against "b" by \? nats$/m);
    const many = Array.from({ length: 7 }, () => difference);
    assert.match(report({ ...same, differences: many }), /^and 2 more$/m);
  });
});
