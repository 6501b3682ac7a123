/** The page's pure parts: runs of tokens, trees of turns, growing Markdown, streams, estimates. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exportConversations, importConversations } from '../../web/lib/archive.js';
import { costAt, draftGain, draftTime } from '../../web/lib/estimate.js';
import { legend, runClass, runTitle } from '../../web/lib/legend.js';
import { decodeEntities, GrowingMarkdown, PieceFinder, safeLink } from '../../web/lib/markdown.js';
import { countRuns, editedRuns, type Run, RunList } from '../../web/lib/runs.js';
import { numberFields, readNumber, requestFields } from '../../web/lib/settings.js';
import {
  type Conversation,
  contentOf,
  merged,
  messagesOf,
  newestLeaf,
  pathTo,
  siblings,
  type Turn,
  titleOf,
  withTurn,
} from '../../web/lib/tree.js';
import { passTotals, waterfall } from '../../web/lib/waterfall.js';
import { eventData, LineReader, RateMeter } from '../../web/lib/wire.js';

const runs: readonly Run[] = [
  { length: 3 },
  { length: 0, drafter: 'mtp' },
  { length: 4, drafter: 'mtp' },
  { length: 2, wrong: { drafter: 'ngram', text: 'no' } },
];

test('a run list gives the pieces of any range, in their places', () => {
  const list = new RunList(runs);
  assert.equal(list.length, 9);
  const text = 'abcdefghi';
  for (let from = 0; from <= 9; from++) {
    for (let to = from; to <= 9; to++) {
      const pieces = list.slice(from, to).map(({ start, end }) => text.slice(start, end));
      assert.equal(pieces.join(''), text.slice(from, to));
    }
  }
  assert.deepEqual(
    list.slice(2, 4).map(({ run }) => run.drafter),
    [undefined, 'mtp'],
  );
  assert.deepEqual(countRuns(runs), { tokens: 4, alone: 2, byDrafter: { mtp: 2 }, wrong: 1 });
});

test('an edit makes typed what it touched, and keeps the tokens around it', () => {
  const before = 'abcdefghi typed';
  const after = 'abcXYdefghi typed';
  const edited = editedRuns(runs, before, after);
  const list = new RunList(edited);
  assert.equal(list.length, after.length);
  const typed = list.slice(0, after.length).filter(({ run }) => run.typed);
  assert.deepEqual(
    typed.map(({ start, end }) => after.slice(start, end)),
    ['XY', ' typed'],
  );
  assert.deepEqual(editedRuns(runs, 'abcdefghi', ''), []);
  assert.deepEqual(editedRuns([], '', 'new'), [{ length: 3, typed: true }]);
});

test('every drafter has a class and a pattern of its own, a wrong guess says what it was', () => {
  const known = ['ngram', 'mtp', 'dflash', 'constraint'];
  assert.deepEqual(
    legend.map(({ drafter }) => drafter),
    known,
  );
  assert.equal(new Set(legend.map(({ pattern }) => pattern)).size, known.length);
  assert.equal(runClass({ length: 1 }), undefined);
  assert.equal(runClass({ length: 1, drafter: 'mtp' }), 'run-mtp');
  assert.equal(runClass({ length: 1, drafter: 'new one' }), 'run-other');
  const wrong = { length: 1, wrong: { drafter: 'mtp', text: 'a\n' } };
  assert.equal(runClass(wrong), 'run-wrong');
  assert.equal(runTitle(wrong), 'MTP guessed "a\\n", which was wrong');
});

function turn(id: string, parent: string | undefined, more: Partial<Turn> = {}): Turn {
  const role = id.startsWith('u') ? 'user' : 'assistant';
  return { id, parent, role, text: id, createdAt: Number(id.slice(1)), state: 'done', ...more };
}

function conversation(turns: readonly Turn[], leaf?: string): Conversation {
  return {
    id: 'c',
    kind: 'chat',
    title: '',
    createdAt: 0,
    updatedAt: 0,
    model: undefined,
    system: '',
    tools: '',
    settings: {},
    turns: Object.fromEntries(turns.map((one) => [one.id, one])),
    leaf,
    draft: { text: '', runs: [] },
  };
}

const family = [turn('u1', undefined), turn('a2', 'u1'), turn('a3', 'u1'), turn('u4', 'a2')];

test('a conversation is a tree: paths, versions, and the newest way down', () => {
  const { turns } = conversation(family);
  assert.deepEqual(
    pathTo(turns, 'u4').map(({ id }) => id),
    ['u1', 'a2', 'u4'],
  );
  assert.deepEqual(
    siblings(turns, family[1] as Turn).map(({ id }) => id),
    ['a2', 'a3'],
  );
  assert.equal(newestLeaf(turns, 'a2'), 'u4');
  assert.equal(newestLeaf(turns, 'u1'), 'a3');
  const circle = { u1: turn('u1', 'a2'), a2: turn('a2', 'u1') };
  assert.equal(pathTo(circle, 'a2').length, 2);
  assert.ok(newestLeaf(circle, 'a2'));
  assert.deepEqual(
    pathTo({ a2: turn('a2', 'gone') }, 'a2').map(({ id }) => id),
    ['a2'],
  );
});

test('a turn is added beside its versions, and the first one gives the title', () => {
  const asked = withTurn(conversation([]), turn('u1', undefined, { text: '# Why?\nBecause.' }));
  assert.equal(asked.title, 'Why? Because.');
  assert.equal(asked.leaf, 'u1');
  const stayed = withTurn(asked, turn('a2', 'u1'), { stay: true });
  assert.equal(stayed.leaf, 'u1');
  assert.ok(titleOf('word '.repeat(40)).length <= 60);
});

test('two windows lose nothing of each other, and the complete answer wins', () => {
  const long = turn('a2', 'u1', { text: 'a long text', state: 'streaming' });
  const mine = { ...conversation([turn('u1', undefined), long], 'a2'), updatedAt: 2 };
  const done = turn('a2', 'u1', { text: 'whole' });
  const theirs = {
    ...conversation([turn('u1', undefined), done, turn('u9', 'a2')], 'u9'),
    title: 'theirs',
    updatedAt: 3,
  };
  const both = merged(mine, theirs);
  assert.deepEqual(Object.keys(both.turns).sort(), ['a2', 'u1', 'u9']);
  assert.equal(both.turns.a2?.text, 'whole');
  assert.equal(both.leaf, 'a2', 'a window stays where it looks');
  assert.equal(both.title, 'theirs');
});

test('files are sent in fences that they cannot close', () => {
  const files = [{ name: 'a.md', text: '```\ncode\n````\n' }];
  const sent = contentOf({ ...turn('u1', undefined), text: 'Look', files });
  assert.equal(sent, 'a.md\n`````\n```\ncode\n````\n`````\n\nLook');
  const call = { id: 'x', name: 'f', arguments: '{}' };
  const path = [turn('a1', undefined, { calls: [call], reasoning: 'hm' })];
  assert.deepEqual(messagesOf(' be ', path), [
    { role: 'system', content: ' be ' },
    {
      role: 'assistant',
      content: 'a1',
      reasoning_content: 'hm',
      tool_calls: [{ id: 'x', type: 'function', function: { name: 'f', arguments: '{}' } }],
    },
  ]);
});

const document =
  '# Title\n\nA *paragraph*\nof two lines.\n\n- one\n- two\n\n  more\n\n> quoted\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n' +
  '```ts\nconst a = 1;\n\nconst b = 2;\n```\n\nEnd <b>here</b>.\n';

test('Markdown that grows ends as Markdown at once, and settled blocks stay the same objects', () => {
  const whole = new GrowingMarkdown().update(document);
  for (const step of [1, 3, 17]) {
    const growing = new GrowingMarkdown();
    let before: readonly object[] = [];
    for (let end = 0; end < document.length + step; end += step) {
      const text = document.slice(0, end);
      const blocks = growing.update(text);
      assert.equal(blocks.map(({ raw }) => raw).join(''), text);
      for (const [index, block] of before.slice(0, -1).entries()) {
        assert.equal(blocks[index], block, `block ${index} at ${end}`);
      }
      before = blocks;
    }
    assert.deepEqual(
      growing.blocks.map(({ raw, token, start }) => [raw, token.type, start]),
      whole.map(({ raw, token, start }) => [raw, token.type, start]),
    );
  }
  const crlf = new GrowingMarkdown();
  for (let end = 1; end <= 16; end++) crlf.update('a\r\n\r\nb\r\n\r\nc\r\n\r\nd'.slice(0, end));
  assert.deepEqual(
    crlf.blocks.map(({ token }) => token.raw.trim()),
    ['a', 'b', 'c', 'd'],
  );
});

test('pieces are found in their order, links are safe, entities are characters', () => {
  const finder = new PieceFinder('> a b\n> a', 10);
  assert.equal(finder.find('a b'), 12);
  assert.equal(finder.find('a'), 18);
  assert.equal(finder.find('zzz'), undefined);
  assert.equal(safeLink('https://example.org/x'), 'https://example.org/x');
  for (const bad of [
    'javascript:alert(1)',
    'data:text/html,x',
    'file:///etc',
    'vbscript:x',
    '/x',
  ]) {
    assert.equal(safeLink(bad), undefined, bad);
  }
  assert.equal(decodeEntities('&lt;a&amp;&#65;&#x42;&nothing;'), '<a&AB&nothing;');
});

test('a stream is read however it is cut', () => {
  const stream = 'data: {"a":1}\r\n\r\n: keep-alive\n\ndata: {"b":"é"}\n\ndata: [DONE]\n\n';
  for (let size = 1; size < 9; size++) {
    const reader = new LineReader();
    const data: unknown[] = [];
    for (let at = 0; at < stream.length; at += size) {
      for (const line of reader.push(stream.slice(at, at + size))) {
        const found = eventData(line);
        if (found !== undefined) data.push(found);
      }
    }
    assert.deepEqual(data, [{ a: 1 }, { b: 'é' }]);
    assert.equal(reader.end(), '');
  }
  const meter = new RateMeter(1000);
  assert.equal(meter.rate, undefined);
  for (let at = 0; at <= 3000; at += 100) meter.add(5, at);
  assert.equal(meter.rate, 50);
});

test('the gain of drafting is a ratio of costs', () => {
  const passMs = { 1: 10, 5: 12, 9: 20 };
  assert.equal(costAt(passMs, 3), 11);
  assert.equal(costAt(passMs, 99), 20);
  assert.equal(costAt({}, 1), undefined);
  assert.equal(draftGain({ tokens: 40, steps: 40, drafted: 0, passMs }), 1);
  const gain = draftGain({ tokens: 40, steps: 10, drafted: 40, passMs, draftMs: 40 });
  assert.equal(gain, (40 * 10) / (10 * 12 + 40));
  const noisy = { 1: 10, 5: 2 };
  assert.equal(draftGain({ tokens: 40, steps: 10, drafted: 40, passMs: noisy }), 4);
  assert.equal(draftGain({ tokens: 0, steps: 0, drafted: 0, passMs }), undefined);
  assert.equal(draftTime([{ steps: 4, drafted: 8, draft_ms: { 2: 3 } }]), 12);
});

test('settings are numbers inside of their bounds, and fields that the server knows', () => {
  const [temperature] = numberFields;
  assert.ok(temperature);
  assert.equal(readNumber('', temperature), undefined);
  assert.equal(readNumber('0,5', temperature), 0.5);
  assert.equal(readNumber('9', temperature), 2);
  assert.equal(readNumber('x', temperature), undefined);
  const fields = requestFields({ temperature: 0, seed: 1, draft: 'auto', thinking: 'off' });
  assert.deepEqual(fields, { temperature: 0, seed: 1, reasoning_effort: 'none' });
});

test('the waterfall has a lane a text and bars inside of the window', () => {
  const part = { kind: 'decode', rows: 4, kept: 2 } as const;
  const passes = [1, 2, 3].map((number) => ({
    number,
    endedAt: 1000 * number,
    ms: 1500,
    parts: [
      { text: number, ...part },
      { text: 9, ...part, kind: 'prefill' as const },
    ],
  }));
  const { lanes, bars } = waterfall(passes, { now: 3000, windowMs: 1500 });
  assert.deepEqual(lanes, [2, 3, 9]);
  assert.equal(bars.length, 4);
  assert.ok(bars.every(({ from, to }) => from >= 0 && to <= 1 && from <= to));
  assert.deepEqual(passTotals(passes), { passes: 3, prefill: 12, decode: 12, kept: 6, shared: 3 });
});

test('conversations come back from a file, and hostile files are refused', () => {
  const original = conversation(family, 'u4');
  const read = importConversations(exportConversations([original]));
  assert.deepEqual(read, { conversations: [original], broken: 0 });
  for (const bad of [
    '',
    '{}',
    '[]',
    '{"format":"paceline-conversations","version":2,"conversations":[]}',
  ]) {
    assert.throws(() => importConversations(bad), Error, bad);
  }
  const hostile = {
    format: 'paceline-conversations',
    version: 1,
    conversations: [
      null,
      { id: 'x', turns: { a: { role: 'system', text: '' } } },
      { id: 'y', turns: {}, settings: { temperature: 'hot', seed: 5 }, title: 7, leaf: 'none' },
    ],
  };
  const { conversations, broken } = importConversations(JSON.stringify(hostile));
  assert.equal(broken, 2);
  assert.deepEqual(conversations[0]?.settings, { seed: 5 });
  assert.equal(conversations[0]?.title, '');
  assert.equal(conversations[0]?.leaf, undefined);
});
