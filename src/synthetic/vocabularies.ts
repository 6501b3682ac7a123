/**
 * Made-up vocabularies of any size, as metadata without the prefix `tokenizer.ggml.`: real in their
 * first tokens, so that every text has tokens, and filled up with words that never occur.
 */
import type { GgufMetadataEntry } from '../gguf/types.js';
import { bool, f32s, i32s, text, texts, u32 } from './entries.js';

type Entries = Readonly<Record<string, GgufMetadataEntry>>;

/** Kinds of tokens as GGUF numbers them. */
const kind = { normal: 1, unknown: 2, control: 3, byte: 6 } as const;

/** SentencePiece: three specials, all bytes, a letter each, then words. At least 260 tokens. */
export function sentencePieceVocabulary(size: number): Entries {
  const tokens = ['<unk>', '<s>', '</s>'];
  const kinds: number[] = [kind.unknown, kind.control, kind.control];
  for (let byte = 0; byte < 256; byte++) {
    tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    kinds.push(kind.byte);
  }
  const words = tokens.length;
  for (let index = 0; tokens.length < size; index++) {
    tokens.push(index < 26 ? String.fromCharCode(97 + index) : `\u2581w${index}`);
    kinds.push(kind.normal);
  }
  return {
    model: text('llama'),
    tokens: texts(tokens),
    scores: f32s(Float32Array.from(tokens, (_, at) => (at < words ? 0 : -at))),
    token_type: i32s(Int32Array.from(kinds)),
    bos_token_id: u32(1),
    eos_token_id: u32(2),
    unknown_token_id: u32(0),
    add_bos_token: bool(true),
  };
}

/** The characters that stand for bytes in byte-level vocabularies, by byte. */
function byteCharacters(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(printable(byte) ? byte : next++),
  );
}

/** Byte-level BPE: bytes, two merges, an end token, then words. At least 259 tokens. */
export function byteLevelVocabulary(size: number): Entries {
  const tokens = [...byteCharacters(), 'ĠĠ', 'ĊĊ', '<|end|>'];
  const end = tokens.length - 1;
  while (tokens.length < size) tokens.push(`Ġrandom${tokens.length}`);
  const kinds = new Int32Array(size).fill(kind.normal);
  kinds[end] = kind.control;
  return {
    model: text('gpt2'),
    pre: text('qwen2'),
    tokens: texts(tokens),
    token_type: i32s(kinds),
    merges: texts(['Ġ Ġ', 'Ċ Ċ']),
    eos_token_id: u32(end),
    add_bos_token: bool(false),
  };
}
