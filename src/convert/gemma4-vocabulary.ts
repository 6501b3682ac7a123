/**
 * The vocabulary of Gemma 4: tokenizer.json's BPE over plain text, whose spaces are written as U+2581, with its merges.
 * GGUF knows it as a model of its own. Types of tokens are those of llama.cpp's converter.
 */
import type { GgufMetadataEntry } from '../gguf/types.js';
import { ggufValue } from '../gguf/values.js';

/** Marks that a chat's parser reads in the text, and that are shown for this. */
const visible: ReadonlySet<string> = new Set([
  ...['<|channel>', '<channel|>', '<|tool_call>', '<tool_call|>'],
  ...['<|tool_response>', '<tool_response|>', '<|"|>'],
]);

const types = { normal: 1, control: 3, user: 4, byte: 6 } as const;

export interface Gemma4Tokens {
  /** With what fills them up, in place. */
  readonly tokens: string[];
  readonly types: number[];
  readonly added: readonly {
    readonly id: number;
    readonly content: string;
    readonly special: boolean;
  }[];
}

/** Puts added tokens among the others and gives all of them their types. */
export function markGemma4Tokens({ tokens, types: found, added }: Gemma4Tokens): void {
  const inside = new Set(tokens);
  for (const { id, content, special } of added) {
    if (id >= tokens.length) continue;
    const usual = inside.has(content) ? types.normal : types.user;
    tokens[id] = content;
    found[id] = special ? types.control : usual;
  }
  for (const [id, text] of tokens.entries()) {
    if (visible.has(text)) found[id] = types.user;
    else if (/^<0x[0-9A-Fa-f]{2}>$/.test(text)) found[id] = types.byte;
  }
}

/** Scores that say nothing, since merges decide, and how texts begin. */
export function gemma4Rules(tokens: readonly string[]): {
  readonly scores: number[];
  readonly rules: ReadonlyMap<string, GgufMetadataEntry>;
} {
  const mask = tokens.indexOf('<mask>');
  return {
    scores: new Array<number>(tokens.length).fill(-1000),
    rules: new Map([
      ['tokenizer.ggml.add_bos_token', ggufValue.boolean(true)],
      ...(mask < 0 ? [] : [['tokenizer.ggml.mask_token_id', ggufValue.uint32(mask)] as const]),
    ]),
  };
}
