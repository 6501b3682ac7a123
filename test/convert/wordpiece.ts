/** A small WordPiece vocabulary and its files, as checkpoints of BERT's kind have them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const marks = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
export const words = [...marks, 'the', 'river', '##s', 'of', 'eu', '##rope', 'a', 'b', '##c', '.'];

const tokenizer = {
  added_tokens: marks.map((content, id) => ({ id, content, special: true })),
  normalizer: { type: 'BertNormalizer', lowercase: true, strip_accents: null },
  pre_tokenizer: { type: 'BertPreTokenizer' },
  post_processor: {
    type: 'TemplateProcessing',
    single: [
      { SpecialToken: { id: '[CLS]' } },
      { Sequence: { id: 'A' } },
      { SpecialToken: { id: '[SEP]' } },
    ],
  },
  model: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    vocab: Object.fromEntries(words.map((text, id) => [text, id])),
  },
};

/** Writes the tokenizer's files into a checkpoint's folder. */
export function writeWordPiece(folder: string): void {
  const write = (name: string, value: object) =>
    writeFileSync(join(folder, name), JSON.stringify(value));
  write('tokenizer.json', tokenizer);
  write(
    'tokenizer_config.json',
    Object.fromEntries([
      ['unk_token', '[UNK]'],
      ['pad_token', '[PAD]'],
    ]),
  );
}
