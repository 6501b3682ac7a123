import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  differsInMarkersOnly,
  ReplayMemory,
  type SpokenTurn,
  TurnRecorder,
} from '../../src/chat/replay.js';

const call = (id: string, text: string) => ({
  id,
  type: 'function',
  function: { name: 'read', arguments: text },
});
const message = (...calls: object[]) => ({
  role: 'assistant' as const,
  content: 'I look.',
  tool_calls: calls,
});

function recorded(id: string, tokens: readonly number[]): SpokenTurn {
  const recorder = new TurnRecorder();
  recorder.add({ type: 'reasoning', choice: 0, text: 'hm' });
  recorder.add({ type: 'text', choice: 0, text: 'I look.\n' });
  recorder.add({ type: 'tool-start', choice: 0, index: 0, id, name: 'read' });
  recorder.add({ type: 'tool-arguments', choice: 0, index: 0, text: '{"a": 1,' });
  recorder.add({ type: 'tool-arguments', choice: 0, index: 0, text: '"b":2}' });
  recorder.add({ type: 'tool-end', choice: 0, index: 0 });
  return recorder.turn(tokens);
}

describe('the memory of calls', () => {
  it('knows a turn that comes back as it was told, whatever its JSON looks like', () => {
    const memory = new ReplayMemory();
    memory.remember(recorded('x', [1, 2]));
    const same = ['{"a": 1,"b":2}', '{"b":2,"a":1}'];
    for (const text of same)
      assert.deepEqual(memory.find(message(call('x', text)))?.tokens, [1, 2]);
    const object = { id: 'x', function: { name: 'read', arguments: { a: 1, b: 2 } } };
    assert.ok(memory.find(message(object)));
  });

  it('does not know a turn that was changed', () => {
    const memory = new ReplayMemory();
    memory.remember(recorded('x', [1, 2]));
    const good = call('x', '{"a":1,"b":2}');
    assert.equal(memory.find(message(call('x', '{"a":2,"b":2}'))), undefined);
    assert.equal(memory.find(message(call('x', '{"a":1'))), undefined);
    assert.equal(memory.find(message(call('y', '{"a":1,"b":2}'))), undefined);
    assert.equal(memory.find(message(good, good)), undefined);
    assert.equal(memory.find(message()), undefined);
    assert.equal(memory.find({ ...message(good), content: 'You look.' }), undefined);
    assert.equal(memory.find({ ...message(good), role: 'user' }), undefined);
  });

  it('forgets the oldest turns', () => {
    const memory = new ReplayMemory();
    const tokens = new Array<number>(2 ** 19).fill(1);
    for (const id of ['a', 'b', 'c']) memory.remember(recorded(id, tokens));
    const found = ['a', 'b', 'c'].map((id) => memory.find(message(call(id, '{"a":1,"b":2}'))));
    assert.deepEqual(
      found.map((turn) => turn !== undefined),
      [false, true, true],
    );
  });
});

describe('a conversation with markers', () => {
  const agrees = (plain: string, marked: string) =>
    differsInMarkersOnly(plain, marked, ['<1>', '<2>']);

  it('says the same but for them', () => {
    assert.ok(agrees('a CALL b OTHER c', 'a <1> b <2> c'));
    assert.ok(agrees('CALLOTHER', '<1><2>'));
  });

  it('or does not', () => {
    assert.ok(!agrees('a CALL b OTHER c', 'a <1> b <2> d'), 'another end');
    assert.ok(!agrees('a CALL b OTHER c', 'x <1> b <2> c'), 'another beginning');
    assert.ok(!agrees('a CALL b OTHER c', 'a <1> x <2> c'), 'another middle');
    assert.ok(!agrees('a CALL b OTHER c', 'a <2> b <1> c'), 'another order');
    assert.ok(!agrees('a CALL b OTHER c', 'a <1> b <2> c <1>'), 'twice');
    assert.ok(!agrees('ab', 'ab<1>b<2>'), 'too short');
  });
});
