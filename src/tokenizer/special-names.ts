/**
 * Names and texts of special tokens: data only. Files often leave them out, so that the reference
 * goes by a token's text; these are the texts it knows.
 */

export type SpecialTokenName =
  | 'bos'
  | 'eos'
  | 'eot'
  | 'eom'
  | 'unknown'
  | 'separator'
  | 'padding'
  | 'mask'
  | 'fimPrefix'
  | 'fimSuffix'
  | 'fimMiddle'
  | 'fimPad'
  | 'fimRepository'
  | 'fimSeparator';

/** Metadata keys under `tokenizer.ggml.`; a later one of the same name wins. */
export const specialTokenKeys: readonly (readonly [SpecialTokenName, string])[] = [
  ['bos', 'bos_token_id'],
  ['eos', 'eos_token_id'],
  ['eot', 'eot_token_id'],
  ['eom', 'eom_token_id'],
  ['unknown', 'unknown_token_id'],
  ['separator', 'seperator_token_id'],
  ['padding', 'padding_token_id'],
  ['mask', 'mask_token_id'],
  ['fimPrefix', 'fim_pre_token_id'],
  ['fimSuffix', 'fim_suf_token_id'],
  ['fimMiddle', 'fim_mid_token_id'],
  ['fimPad', 'fim_pad_token_id'],
  ['fimRepository', 'fim_rep_token_id'],
  ['fimSeparator', 'fim_sep_token_id'],
  ['fimPrefix', 'prefix_token_id'],
  ['fimSuffix', 'suffix_token_id'],
  ['fimMiddle', 'middle_token_id'],
];

/** Texts by which a token is recognised when no key names it; the first that exists is taken. */
export const fillInTheMiddleTokens: readonly (readonly [SpecialTokenName, readonly string[]])[] = [
  [
    'eot',
    [
      ...['<|eot_id|>', '<|im_end|>', '<|end|>', '<end_of_turn>', '<|endoftext|>'],
      ...['<|end_of_text|>', '<EOT>', '_<EOT>', '[EOT]', '<｜end▁of▁sentence｜>'],
      '<end_of_utterance>',
    ],
  ],
  ['eom', ['<|eom_id|>']],
  [
    'fimPrefix',
    [
      ...['<|fim_prefix|>', '<fim-prefix>', '<fim_prefix>', '<｜fim▁begin｜>', '<PRE>', '▁<PRE>'],
      ...['<|code_prefix|>', '<|prefix|>'],
    ],
  ],
  [
    'fimSuffix',
    [
      ...['<|fim_suffix|>', '<fim-suffix>', '<fim_suffix>', '<｜fim▁hole｜>', '<SUF>', '▁<SUF>'],
      ...['<|code_suffix|>', '<|suffix|>'],
    ],
  ],
  [
    'fimMiddle',
    [
      ...['<|fim_middle|>', '<fim-middle>', '<fim_middle>', '<｜fim▁end｜>', '<MID>', '▁<MID>'],
      ...['<|code_middle|>', '<|middle|>'],
    ],
  ],
  ['fimPad', ['<|fim_pad|>', '<fim-pad>', '<fim_pad>', '<PAD>', '[PAD]']],
  ['fimRepository', ['<|fim_repo|>', '<|repo_name|>', '<fim-repo>', '<REPO>', '<reponame>']],
  ['fimSeparator', ['<|file_sep|>']],
];

/** Tokens that end a generation wherever they exist. */
export const endOfTextTokens: readonly string[] = [
  ...['<|eot_id|>', '<|im_end|>', '<|end|>', '<|return|>', '<|call|>', '<|flush|>', '<|calls|>'],
  ...['<end_of_turn>', '<|endoftext|>', '</s>', '<|eom_id|>', '<EOT>', '_<EOT>', '[EOT]', '[EOS]'],
  ...['<|end_of_text|>', '<end_of_utterance>', '<eos>', '<turn|>', '<|tool_response>'],
  ...['<｜end▁of▁sentence｜>', '[e~['],
];

/** Marks of the harmony format that belong to the visible text. */
export const plainTextTokens: readonly string[] = [
  ...['<|channel|>', '<|message|>', '<|start|>', '<|constrain|>'],
];
