import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  opensReasoning,
  type ReasoningPiece,
  ReasoningSplitter,
  reasoningMarks,
} from '../../src/chat/reasoning.js';

const marks = { open: '<think>', close: '</think>' };

/** What comes out of a text in pieces of one length: thought and answer. */
function split(text: string, size: number, opened: boolean): { thought: string; answer: string } {
  const splitter = new ReasoningSplitter(marks, { opened });
  const pieces: ReasoningPiece[] = [];
  for (let at = 0; at < text.length; at += size) {
    pieces.push(...splitter.push(text.slice(at, at + size)));
  }
  pieces.push(...splitter.flush());
  const join = (type: string): string =>
    pieces.map((piece) => (piece.type === type ? piece.text : '')).join('');
  return { thought: join('reasoning'), answer: join('text') };
}

const cases: readonly (readonly [
  text: string,
  opened: boolean,
  thought: string,
  answer: string,
])[] = [
  ['no thought at all', false, '', 'no thought at all'],
  ['<think>so</think>\n\nthus', false, 'so', 'thus'],
  ['\n <think>so</think>thus', false, 'so', 'thus'],
  ['so\n</think>\n\nthus', true, 'so\n', 'thus'],
  ['so it </ goes <on', true, 'so it </ goes <on', ''],
  ['<thin', false, '', '<thin'],
  ['<thing> is <think>not a thought', false, '', '<thing> is <think>not a thought'],
  ['a </think> b </think> c', true, 'a ', 'b </think> c'],
  ['', true, '', ''],
];

for (const [text, opened, thought, answer] of cases) {
  test(`${JSON.stringify(text)}${opened ? ', opened' : ''}, in pieces of every size`, () => {
    for (let size = 1; size <= Math.max(1, text.length); size++) {
      assert.deepEqual(split(text, size, opened), { thought, answer }, `pieces of ${size}`);
    }
  });
}

test('no part of a mark is shown while it may still become one', () => {
  const splitter = new ReasoningSplitter(marks, { opened: true });
  assert.deepEqual(splitter.push('why</thi'), [{ type: 'reasoning', text: 'why' }]);
  assert.deepEqual(splitter.push('nk>x'), [{ type: 'text', text: 'x' }]);
});

test('a thought that is closed early gives back what was held', () => {
  const splitter = new ReasoningSplitter(marks, { opened: true });
  splitter.push('a</');
  assert.deepEqual(splitter.close(), [{ type: 'reasoning', text: '</' }]);
  assert.deepEqual(splitter.push('\nb'), [{ type: 'text', text: 'b' }]);
});

test('marks come from the template, and the prompt says whether the thought is open', () => {
  assert.deepEqual(reasoningMarks("x {{ '</think>' }}"), marks);
  assert.equal(reasoningMarks('plain'), undefined);
  assert.ok(opensReasoning('...<think>\n', marks));
  assert.ok(!opensReasoning('<think>\n\n</think>\n\n', marks));
});
