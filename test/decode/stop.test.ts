import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { Finish, StopText } from '../../src/decode/stop.js';
import { Random } from './support.js';

/** The stop that is complete first, the longest at a tie, found character by character. */
function reference(text: string, stops: string[]): { text: string; stop?: string } {
  for (let end = 1; end <= text.length; end++) {
    const found = stops
      .filter((stop) => text.slice(0, end).endsWith(stop))
      .sort((a, b) => b.length - a.length)[0];
    if (found !== undefined) return { text: text.slice(0, end - found.length), stop: found };
  }
  return { text };
}

test('stop strings are found and held back whatever the pieces', () => {
  const random = new Random(1);
  const letters = ['a', 'b', 'c', 'é', '😀'];
  const word = (least: number, most: number) =>
    Array.from({ length: least + random.below(most - least + 1) }, () => random.pick(letters)).join(
      '',
    );
  let stopped = 0;
  for (let round = 0; round < 20_000; round++) {
    const stops = Array.from({ length: random.below(4) }, () => word(1, 5));
    const text = word(0, 25);
    const expected = reference(text, stops);
    const matcher = new StopText(stops);
    let shown = '';
    let stop: string | undefined;
    let rest = [...text];
    while (rest.length > 0 && stop === undefined) {
      const size = 1 + random.below(4);
      const piece = matcher.push(rest.slice(0, size).join(''));
      rest = rest.slice(size);
      shown += piece.text;
      stop = piece.stop;
      assert.ok(expected.text.startsWith(shown), 'shows nothing that a stop would take back');
      if (stop === undefined) {
        // Held back is only what may still become a stop string.
        const held = text.slice(shown.length, text.length - rest.join('').length);
        assert.ok(held === '' || stops.some((s) => s.startsWith(held) && s !== held));
      }
    }
    if (stop === undefined) shown += matcher.flush();
    assert.equal(shown, expected.text);
    assert.equal(stop, expected.stop);
    if (stop !== undefined) stopped += 1;
  }
  assert.ok(stopped > 4000 && stopped < 16_000);
});

const characters = (token: number) => String.fromCodePoint(token);

function finish(options: { maxTokens?: number; stop?: string[]; flush?: string; end?: number[] }) {
  return new Finish({
    endTokens: new Set(options.end ?? [0]),
    maxTokens: options.maxTokens ?? Infinity,
    stop: options.stop ?? [],
    toText: characters,
    flushText: () => options.flush ?? '',
  });
}

function run(finisher: Finish, text: string) {
  let shown = '';
  for (const character of text) {
    const step = finisher.push(character.codePointAt(0) ?? 0);
    shown += step.text;
    if (step.finish !== undefined) return { shown, ...step };
  }
  return { shown, finish: undefined, keep: true, stop: undefined };
}

test('a text ends at its end token, its stop string, or its limit', () => {
  const ended = run(finish({ stop: ['ab!'] }), 'xab\0');
  assert.deepEqual([ended.shown, ended.finish, ended.keep], ['xab', 'stop', false]);
  const stopped = run(finish({ stop: ['ab!'] }), 'xab!y');
  assert.deepEqual([stopped.shown, stopped.finish, stopped.stop], ['x', 'stop', 'ab!']);
  const cut = run(finish({ stop: ['abc'], maxTokens: 3, flush: '\ufffd' }), 'xabcd');
  assert.deepEqual([cut.shown, cut.finish, cut.keep], ['xab\ufffd', 'length', true]);
  const both = run(finish({ stop: ['abc'], maxTokens: 4 }), 'xabcd');
  assert.deepEqual([both.shown, both.finish], ['x', 'stop']);
  const endAtLimit = run(finish({ maxTokens: 2 }), 'x\0');
  assert.deepEqual([endAtLimit.shown, endAtLimit.finish], ['x', 'stop']);
});

test('an abort shows what was held back, once; no token is taken after the end', () => {
  const finisher = finish({ stop: ['abc'], maxTokens: 10 });
  assert.equal(finisher.push(0x61).text, '');
  assert.equal(finisher.remaining, 9);
  assert.equal(finisher.flush(), 'a');
  assert.equal(finisher.flush(), '');
  assert.throws(
    () => finisher.push(0x61),
    (error) => PacelineError.is(error) && error.code === 'internal',
  );
});

test('bad stop strings and limits are refused', () => {
  for (const bad of [
    () => new StopText(['a', '']),
    () => finish({ maxTokens: -1 }),
    () => finish({ maxTokens: 1.5 }),
    () => finish({ maxTokens: Number.NaN }),
  ]) {
    assert.throws(bad, (error) => PacelineError.is(error) && error.code === 'usage');
  }
});
