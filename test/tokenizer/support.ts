/** Small vocabularies for tests that need no real one. */
import { byteToChar } from '../../src/tokenizer/byte-alphabet.js';
import { type MetadataRecord, metadataFromRecord } from '../../src/tokenizer/metadata.js';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js';

export const tokenType = { normal: 1, unknown: 2, control: 3, user: 4, unused: 5, byte: 6 };

/** A byte-level vocabulary: 256 bytes, the given merges' results, then the given special tokens. */
export function byteLevel(
  merges: readonly string[],
  special: Readonly<Record<string, number>>,
  changes: MetadataRecord = {},
): Tokenizer {
  const bytes = Array.from({ length: 256 }, (_, byte) => byteToChar(byte));
  const merged = merges.map((merge) => merge.replace(' ', ''));
  const plain = [...bytes, ...merged];
  const record = {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'gpt-2',
    'tokenizer.ggml.tokens': [...plain, ...Object.keys(special)],
    'tokenizer.ggml.token_type': [...plain.map(() => 1), ...Object.values(special)],
    'tokenizer.ggml.merges': merges,
    ...changes,
  };
  return createTokenizer(metadataFromRecord(record));
}

/** A SentencePiece vocabulary: unknown, BOS, EOS, 256 byte tokens, then pieces, the best first. */
export function sentencePiece(pieces: readonly string[], changes: MetadataRecord = {}): Tokenizer {
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...pieces];
  const types = tokens.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1));
  return createTokenizer(
    metadataFromRecord({
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.token_type': types,
      'tokenizer.ggml.scores': tokens.map((_, id) => (id < 259 ? 0 : 259 - id)),
      ...changes,
    }),
  );
}
