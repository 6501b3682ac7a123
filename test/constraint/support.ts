/** Vocabularies, and texts that random choices make under a constraint. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import {
  type CompiledConstraint,
  type ConstraintOptions,
  compileConstraint,
} from '../../src/constraint/compile.js';
import { type Constraint, maskAllows } from '../../src/constraint/constraint.js';
import type { ConstraintSpec } from '../../src/constraint/spec.js';
import { buildIndex, type VocabularyIndex } from '../../src/constraint/tokens/vocabulary-index.js';
import { readGguf } from '../../src/gguf/reader.js';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js';
import { repository } from '../support/repository.js';
import { sentencePiece, tokenType } from '../tokenizer/support.js';

export interface Vocabulary {
  readonly tokenizer: Tokenizer;
  readonly index: VocabularyIndex;
}

async function indexed(tokenizer: Tokenizer): Promise<Vocabulary> {
  return { tokenizer, index: await buildIndex(tokenizer) };
}

/** The embedded model's vocabulary: byte-level BPE. */
export async function embedded(): Promise<Vocabulary> {
  await using file = await readGguf(join(repository, 'models/default/paceline-default.gguf'));
  return await indexed(createTokenizer(file));
}

const pieces = [
  ...['▁', '▁▁', '▁▁▁▁', '▁▁▁▁▁▁▁▁', '\n', '\n\n', '\t', '\t\t', '▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁'],
  ...[
    '{"',
    '":',
    '"}',
    '",',
    '","',
    '":"',
    '": "',
    '"]',
    '[]',
    '{}',
    '}}',
    '},{',
    '[{',
    '▁"',
    '▁{',
    '▁[',
  ],
  ...[
    'name',
    'age',
    'true',
    'false',
    'null',
    'tr',
    'ue',
    'na',
    'me',
    '▁name',
    'nam',
    'ageless',
    'red',
  ],
  ...[
    'green',
    'blue',
    'a',
    'b',
    'ab',
    'abc',
    'x',
    'xx',
    'xxx',
    'hello',
    '▁world',
    'ä',
    'é',
    '日本',
    '日',
    '😀',
  ],
  ...[
    '0',
    '1',
    '12',
    '123',
    '00',
    '-',
    '-1',
    '.',
    '.5',
    'e',
    'E+',
    '1e',
    '2024',
    '-01',
    ':',
    ',',
    '"',
    '\\',
  ],
  ...[
    '\\"',
    '\\n',
    '\\u',
    '\\\\',
    '00e4',
    '{',
    '}',
    '[',
    ']',
    '</',
    '<tool',
    '_call>',
    'call',
    '<',
    '>',
    '/',
  ],
  ...[
    'function',
    '=',
    'parameter',
    '}\n',
    ']\n',
    ',\n',
    '{\n',
    '▁▁"',
    '@',
    '.com',
    'example',
    '-',
    'T',
    'Z',
  ],
];

/** Byte tokens, merged white space, several tokens of the same bytes, and special tokens. */
export async function synthetic(): Promise<Vocabulary> {
  const extra = [
    ...pieces,
    '<think>',
    '</think>',
    '<tool_call>',
    '[TOOL_CALLS]',
    '<|return|>',
    '<|"|>',
  ];
  const types = [
    2,
    3,
    3,
    ...Array(256).fill(tokenType.byte),
    ...pieces.map(() => tokenType.normal),
  ];
  types.push(
    tokenType.control,
    tokenType.control,
    tokenType.user,
    tokenType.control,
    tokenType.control,
    tokenType.user,
  );
  return await indexed(sentencePiece(extra, { 'tokenizer.ggml.token_type': types }));
}

/** Numbers from 0 to 1 that a seed determines. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function allowedTokens(constraint: Constraint, size: number): number[] {
  const mask = constraint.mask();
  const found: number[] = [];
  for (let id = 0; id < size; id++) if (!mask || maskAllows(mask, id)) found.push(id);
  return found;
}

const closing = new Set([
  ...'aidkny',
  '"',
  '}',
  ']',
  '"}',
  '"]',
  '",',
  ',',
  ':',
  '":',
  '}\n',
  '>',
  '\n',
  '</',
]);

export interface RandomText {
  readonly text: string;
  readonly tokens: readonly number[];
  /** Whether the text ended, instead of reaching the limit. */
  readonly ended: boolean;
}

/**
 * A text of random choices under a constraint: tokens that close something are preferred, so that
 * most texts end, and taken wherever there are some after `calm` tokens.
 */
export function randomText(
  { index, tokenizer }: Vocabulary,
  constraint: Constraint,
  random: () => number,
  limit = 160,
  calm = 60,
): RandomText {
  const tokens: number[] = [];
  for (let count = 0; count < limit; count++) {
    const allowed = allowedTokens(constraint, index.size);
    assert.notEqual(
      allowed.length,
      0,
      `a dead end after ${JSON.stringify(textOf({ index, tokenizer }, tokens))}`,
    );
    const end = allowed.find((id) => index.isEnd(id));
    let choice = allowed[Math.floor(random() * allowed.length)] as number;
    if (count > calm || random() < 0.4) {
      const closers = allowed.filter((id) => closing.has(tokenizer.tokenText(id)));
      if (closers.length > 0) choice = closers[Math.floor(random() * closers.length)] as number;
    }
    if (end !== undefined && (count > calm || random() < 0.3)) choice = end;
    assert.ok(constraint.allows(choice));
    constraint.accept(choice);
    if (index.isEnd(choice))
      return { text: textOf({ index, tokenizer }, tokens), tokens, ended: true };
    tokens.push(choice);
  }
  return { text: textOf({ index, tokenizer }, tokens), tokens, ended: false };
}

/** The text of tokens, special ones as their texts. */
export function textOf({ index, tokenizer }: Vocabulary, tokens: readonly number[]): string {
  const parts = tokens.map((id) =>
    index.isSpecial(id) ? Buffer.from(tokenizer.tokenText(id)) : Buffer.from(index.bytesOf(id)),
  );
  return Buffer.concat(parts).toString();
}

/** Whether a constraint takes a text, token by token, and lets it end. */
export function accepts(
  compiled: CompiledConstraint,
  { index }: Vocabulary,
  text: string,
): boolean {
  const constraint = compiled.start();
  for (const byte of Buffer.from(text)) {
    const token = byteToken(index, byte);
    if (!constraint.allows(token)) return false;
    constraint.accept(token);
  }
  return constraint.canEnd;
}

const byteTokens = new WeakMap<VocabularyIndex, number[]>();

function byteToken(index: VocabularyIndex, byte: number): number {
  let known = byteTokens.get(index);
  if (!known) {
    known = [];
    for (let id = index.size - 1; id >= 0; id--) {
      const bytes = index.bytesOf(id);
      if (bytes.length === 1) known[bytes[0] as number] = id;
    }
    byteTokens.set(index, known);
  }
  return known[byte] as number;
}

export function compileFor(
  { index }: Vocabulary,
  spec: ConstraintSpec,
  options: ConstraintOptions = {},
): CompiledConstraint {
  return compileConstraint(spec, index, options);
}
