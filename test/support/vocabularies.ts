/**
 * Vocabularies of real models as GGUF files. They lie in the repository in a compact form: merges of
 * two tokens into a third are the third's id and where it is cut. `unpackVocabulary` gives back the
 * original file, to the byte, and checks its hash.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { repository } from './repository.js';

/** The reference's vocabularies: byte-level BPE, BPE with SentencePiece's spaces, SentencePiece. */
export const vocabularyNames = [
  'deepseek-llm',
  'gemma-4',
  'gpt-2',
  'llama-bpe',
  'llama-spm',
  'qwen2',
] as const;
export type VocabularyName = (typeof vocabularyNames)[number];

/** A text and its token ids, without special tokens around it. */
export interface ReferenceCase {
  readonly text: string;
  readonly ids: readonly number[];
}

const fixtures = join(repository, 'test', 'tokenizer', 'fixtures', 'vocabularies');

/** Path of a packed vocabulary. */
export function packedPath(name: string): string {
  return join(fixtures, `${name}.br`);
}

/** Path of the reference's cases of all vocabularies. */
export const casesPath = join(fixtures, 'cases.json');

/** The cases of a vocabulary. */
export function referenceCases(name: VocabularyName): readonly ReferenceCase[] {
  const all = JSON.parse(readFileSync(casesPath, 'utf8')) as Record<string, ReferenceCase[]>;
  return all[name] ?? [];
}

/** Path of a vocabulary's GGUF file, unpacked into `.cache/` when it is first asked for. */
export function vocabularyFile(name: VocabularyName): string {
  const packed = readFileSync(packedPath(name));
  const version = createHash('sha256').update(packed).digest('hex').slice(0, 12);
  const folder = join(repository, '.cache', 'vocabularies');
  const path = join(folder, `${name}-${version}.gguf`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  const partial = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`;
  writeFileSync(partial, unpackVocabulary(packed));
  renameSync(partial, path);
  return path;
}

/** Where the two long lists of a file are: `count` strings, each behind its length as 8 bytes. */
interface Lists {
  readonly tokensAt: number;
  readonly tokens: number;
  readonly mergesAt: number;
  readonly merges: number;
  readonly sha256: string;
  /** Bytes of the parts that follow, in this order: before tokens, tokens, between, merges, rest. */
  readonly parts: readonly number[];
}

/** Ends a token; no byte of UTF-8 is this one. */
const end = 0xff;

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Bytes of `count` strings from `at` on, and where they end. */
function stringsAt(file: Buffer, at: number, count: number): { strings: Buffer[]; end: number } {
  const strings: Buffer[] = [];
  let position = at;
  for (let index = 0; index < count; index++) {
    const length = Number(file.readBigUInt64LE(position));
    strings.push(file.subarray(position + 8, position + 8 + length));
    position += 8 + length;
  }
  return { strings, end: position };
}

function encodeStrings(strings: readonly Buffer[]): Buffer {
  const parts = strings.flatMap((bytes) => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(bytes.length));
    return [length, bytes];
  });
  return Buffer.concat(parts);
}

/**
 * A GGUF file in the compact form.
 * @param lists where its tokens and merges begin, and how many there are (0 merges: `mergesAt` is
 *   where the tokens end).
 */
export function packVocabulary(
  file: Buffer,
  { tokensAt, tokens: tokenCount, mergesAt, merges: mergeCount }: Omit<Lists, 'sha256' | 'parts'>,
): Buffer {
  const tokens = stringsAt(file, tokensAt, tokenCount);
  const merges = stringsAt(file, mergesAt, mergeCount);
  const ids = new Map(tokens.strings.map((bytes, id) => [bytes.toString('latin1'), id]));
  const steps: number[] = [];
  const cuts: number[] = [];
  let previous = 0;
  for (const merge of merges.strings) {
    const cut = merge.indexOf(0x20, 1);
    const id = ids.get(merge.toString('latin1', 0, cut) + merge.toString('latin1', cut + 1));
    if (id === undefined) throw new Error(`No token for the merge ${merge}`);
    steps.push(id - previous);
    cuts.push(cut);
    previous = id;
  }
  const parts = [
    file.subarray(0, tokensAt),
    Buffer.concat(tokens.strings.flatMap((bytes) => [bytes, Buffer.of(end)])),
    file.subarray(tokens.end, mergesAt),
    Buffer.concat([Buffer.from(Int32Array.from(steps).buffer), Buffer.from(Uint8Array.from(cuts))]),
    file.subarray(merges.end),
  ];
  const lists: Lists = {
    tokensAt,
    tokens: tokenCount,
    mergesAt,
    merges: mergeCount,
    sha256: hashOf(file),
    parts: parts.map((part) => part.length),
  };
  return brotliCompressSync(Buffer.concat([Buffer.from(`${JSON.stringify(lists)}\n`), ...parts]), {
    params: { [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS },
  });
}

/** The GGUF file of a packed vocabulary. @throws {Error} when it is not the one that was packed. */
export function unpackVocabulary(packed: Uint8Array): Buffer {
  const bytes = brotliDecompressSync(packed);
  const line = bytes.indexOf(0x0a);
  const lists = JSON.parse(bytes.toString('utf8', 0, line)) as Lists;
  let at = line + 1;
  const [head, text, between, merges, rest] = lists.parts.map((length) => {
    at += length;
    return bytes.subarray(at - length, at);
  }) as [Buffer, Buffer, Buffer, Buffer, Buffer];
  const tokens: Buffer[] = [];
  for (let start = 0; start < text.length; ) {
    const stop = text.indexOf(end, start);
    tokens.push(text.subarray(start, stop));
    start = stop + 1;
  }
  const space = Buffer.of(0x20);
  let id = 0;
  const merged = Array.from({ length: lists.merges }, (_, index) => {
    id += merges.readInt32LE(index * 4);
    const token = tokens[id] ?? Buffer.alloc(0);
    const cut = merges[lists.merges * 4 + index] ?? 0;
    return Buffer.concat([token.subarray(0, cut), space, token.subarray(cut)]);
  });
  const file = Buffer.concat([head, encodeStrings(tokens), between, encodeStrings(merged), rest]);
  if (hashOf(file) === lists.sha256) return file;
  throw new Error('A vocabulary of the tests did not unpack to the file that it was made from');
}
