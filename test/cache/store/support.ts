/** Blocks of made-up texts for tests of the store: every byte follows from the tokens. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { endOf, type Match } from '../../../src/cache/store/index.js';
import { PrefixStore, type StoreOptions } from '../../../src/cache/store/store.js';
import { temporaryFile } from '../../support/tiny-model.js';

export const blockTokens = 64;
export const partBytes = 1000;

let counter = 0;

/** A folder of this test's own. */
export function newFolder(): string {
  return temporaryFile(`blocks-${counter++}`);
}

export interface TestStore {
  readonly store: PrefixStore;
  readonly warnings: string[];
}

export async function openStore(
  root: string,
  more: Partial<StoreOptions> = {},
): Promise<TestStore> {
  const warnings: string[] = [];
  const store = await PrefixStore.open({
    root,
    fingerprint: 'a model',
    info: { model: 'test', architecture: 'none', kvType: 'f16', blockTokens },
    budget: 1e9,
    onWarning: (text) => warnings.push(text),
    ...more,
  });
  return { store, warnings };
}

/** A text of so many tokens. */
export function text(length: number, salt = 0): number[] {
  return Array.from({ length }, (_, at) => (at * 31 + at * at * 7 + salt) % 1009);
}

/** The bytes that stand for the rows after these tokens. */
export function rowsOf(tokens: readonly number[]): Uint8Array {
  const seed = createHash('sha256').update(tokens.join()).digest();
  return Uint8Array.from({ length: partBytes }, (_, at) => (seed[at % 32] as number) ^ (at & 0xff));
}

/** Saves all blocks of a text, the last incomplete one too; false when one was refused. */
export function save(store: PrefixStore, tokens: readonly number[], costMs = 10): boolean {
  const names = store.index.namesOf(tokens);
  for (let start = 0; start < tokens.length; start += blockTokens) {
    const end = Math.min(tokens.length, start + blockTokens);
    const taken = store.put({
      kind: 'rows',
      parent: start === 0 ? store.index.root : (names[start / blockTokens - 1] as string),
      start,
      tokens: Uint32Array.from(tokens.slice(start, end)),
      costMs,
      text: `text from ${start} on`,
      parts: [{ name: '', bytes: partBytes }],
      fill: ([into]) => into?.set(rowsOf(tokens.slice(0, end))),
    });
    if (!taken) return false;
  }
  return true;
}

/** Reads what the store has of a text, checks every byte, and says how many tokens came. */
export async function load(store: PrefixStore, tokens: readonly number[]): Promise<number> {
  const { blocks }: Match = store.index.find(tokens);
  let length = 0;
  for (const entry of blocks) {
    const into = new Uint8Array(partBytes);
    // In two pieces, as rows of several layers are.
    const pieces = [into.subarray(0, 300), into.subarray(300)];
    if ((await store.read(entry, [{ part: 0, into: pieces }])) < 1) break;
    const end = endOf(entry);
    const common = tokens.slice(0, end);
    const own = [...tokens.slice(0, entry.header.start), ...entry.header.tokens];
    assert.deepEqual(own.slice(0, common.length), common.slice(0, own.length));
    assert.ok(Buffer.compare(into, rowsOf(own)) === 0, `rows up to ${end}`);
    length = Math.min(end, tokens.length);
  }
  return length;
}
