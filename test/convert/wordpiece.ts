/** A small WordPiece vocabulary and its files, as checkpoints of BERT's kind have them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const marks = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
export const words = [...marks, 'the', 'river', '##s', 'of', 'eu', '##rope', 'a', 'b', '##c', '.'];

const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
const part = (id: string) => ({ Sequence: { id, type_id: 0 } });

const tokenizer = {
  version: '1.0',
  added_tokens: marks.map((content, id) => ({
    ...{ id, content, special: true, normalized: false },
    ...{ single_word: false, lstrip: false, rstrip: false },
  })),
  normalizer: {
    ...{ type: 'BertNormalizer', lowercase: true, strip_accents: null },
    ...{ clean_text: true, handle_chinese_chars: true },
  },
  pre_tokenizer: { type: 'BertPreTokenizer' },
  post_processor: {
    type: 'TemplateProcessing',
    single: [special('[CLS]'), part('A'), special('[SEP]')],
    pair: [special('[CLS]'), part('A'), special('[SEP]'), part('B'), special('[SEP]')],
    special_tokens: Object.fromEntries(
      ['[CLS]', '[SEP]'].map((id) => [id, { id, ids: [marks.indexOf(id)], tokens: [id] }]),
    ),
  },
  model: {
    ...{ type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##' },
    max_input_chars_per_word: 100,
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
      ['tokenizer_class', 'BertTokenizer'],
      ['unk_token', '[UNK]'],
      ['pad_token', '[PAD]'],
      ['cls_token', '[CLS]'],
      ['sep_token', '[SEP]'],
      ['mask_token', '[MASK]'],
    ]),
  );
}
