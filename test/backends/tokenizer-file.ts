/**
 * A byte-level vocabulary in the whole of the `tokenizers` format: our reader takes files that leave out
 * what has a usual value, that library doesn't.
 */

export interface TokenizerParts {
  /** Texts in the byte alphabet, added ones as they are, with their ids. */
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges: readonly (readonly [string, string])[];
  /** Steps before the merges, the byte alphabet the last. */
  readonly steps: readonly object[];
  /** Tokens that are cut out of a text before all else. */
  readonly added: readonly {
    readonly id: number;
    readonly content: string;
    readonly special: boolean;
  }[];
  /** Text of the token that a text begins with; undefined: none. */
  readonly begin?: string | undefined;
}

/** The content of a `tokenizer.json`. */
export function tokenizerFile({ vocab, merges, steps, added, begin }: TokenizerParts): object {
  const token = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  return {
    ...{ version: '1.0', truncation: null, padding: null, normalizer: null },
    added_tokens: added.map((one) => ({ ...token, ...one })),
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: steps.map((step) => ({ trim_offsets: false, ...step })),
    },
    post_processor: begin === undefined ? null : beginning(begin, vocab),
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true },
    model: {
      ...{ type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null },
      ...{ end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false },
      vocab,
      merges,
    },
  };
}

function beginning(text: string, vocab: Readonly<Record<string, number>>): object {
  const special = { SpecialToken: { id: text, type_id: 0 } };
  const sequence = (id: string) => ({ Sequence: { id, type_id: 0 } });
  return {
    type: 'TemplateProcessing',
    single: [special, sequence('A')],
    pair: [special, sequence('A'), sequence('B')],
    special_tokens: { [text]: { id: text, ids: [vocab[text]], tokens: [text] } },
  };
}
