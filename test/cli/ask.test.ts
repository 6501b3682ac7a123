import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { askYesNo } from '../../src/cli/ask.js';

for (const [said, standard, expected] of [
  ['y\n', false, true],
  ['YES\n', false, true],
  ['n\n', true, false],
  ['whatever\n', true, false],
  ['\n', true, true],
  ['\n', false, false],
  ['', true, false],
] as const) {
  test(`${JSON.stringify(said)} where ${standard ? 'yes' : 'no'} is the standard: ${expected ? 'yes' : 'no'}`, async () => {
    const [input, output] = [new PassThrough(), new PassThrough()];
    input.end(said);
    assert.equal(await askYesNo('Pull it?', standard, { input, output }), expected);
    assert.match(String(output.read()), standard ? /^Pull it\? \[Y\/n\] / : /\[y\/N\]/);
  });
}
