/** The index finds what a search through all texts finds. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { BlockIndex, type Entry } from '../../../src/cache/store/index.js';
import { blockName, rootName } from '../../../src/cache/store/names.js';

const size = 64;

/** Numbers that are the same in every run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function addText(index: BlockIndex, tokens: readonly number[]): void {
  let parent = index.root;
  for (let start = 0; start < tokens.length; start += size) {
    const own = Uint32Array.from(tokens.slice(start, start + size));
    const name = blockName(parent, own);
    const header = {
      kind: 'rows',
      parent,
      start,
      tokens: own,
      parts: [],
      costMs: 1,
      text: '',
    } as const;
    const entry: Entry = { kind: 'rows', name, header, bytes: 1, lastUse: 0, hits: 0, pins: 0 };
    if (index.get('rows', name) === undefined) index.add(entry);
    parent = name;
  }
}

it('finds the longest prefix of any text', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const next = random(seed);
    const index = new BlockIndex(rootName('m', size), size);
    const texts: number[][] = [];
    for (let at = 0; at < 12; at++) {
      // Texts of few kinds of tokens, which often go on from one another.
      const from = texts[next(texts.length + 1)] ?? [];
      const kept = from.slice(0, next(from.length + 1));
      texts.push([...kept, ...Array.from({ length: 1 + next(150) }, () => next(3))]);
    }
    for (const tokens of texts) addText(index, tokens);
    for (let at = 0; at < 40; at++) {
      const from = texts[next(texts.length)] ?? [];
      const wanted = [...from.slice(0, next(from.length + 1)), next(3), next(3), next(3)];
      const common = (tokens: readonly number[]): number => {
        let length = 0;
        while (length < tokens.length && tokens[length] === wanted[length]) length++;
        return Math.min(length, wanted.length);
      };
      const { length, blocks } = index.find(wanted);
      assert.equal(length, Math.max(...texts.map(common)));
      assert.equal(blocks.length, Math.ceil(length / size));
    }
  }
});

it('has other names for other models, block lengths, parents and tokens', () => {
  const names = [
    rootName('a', 64),
    rootName('b', 64),
    rootName('a', 128),
    blockName(rootName('a', 64), [1, 2]),
    blockName(rootName('b', 64), [1, 2]),
    blockName(rootName('a', 64), [1, 3]),
    blockName(rootName('a', 64), [1]),
    blockName(blockName(rootName('a', 64), [1]), [2]),
  ];
  assert.equal(new Set(names).size, names.length);
});
