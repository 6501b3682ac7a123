/**
 * A random model that vLLM loads: a Llama of a size that its kernels take, a byte-level vocabulary in the
 * whole of the `tokenizers` format, and a chat template.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomCheckpoint } from '../convert/checkpoint.js';

/** Turns as `user: ...`, each ended by the end token's text. */
const chatTemplate =
  "{% for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}";

interface TokenizerFile {
  readonly model: object;
  readonly pre_tokenizer: { readonly pretokenizers: readonly object[] };
  readonly added_tokens: readonly object[];
}

/** Writes the model. @returns its folder. */
export function vllmCheckpoint(): string {
  const { folder } = randomCheckpoint('LlamaForCausalLM', {
    type: 'BF16',
    config: {
      ...{ hidden_size: 128, intermediate_size: 256, num_attention_heads: 4, head_dim: 32 },
      ...{ num_key_value_heads: 2, max_position_embeddings: 4096, torch_dtype: 'bfloat16' },
      ...{ hidden_act: 'silu', bos_token_id: 318, eos_token_id: 319, attention_bias: false },
    },
  });
  const path = join(folder, 'tokenizer.json');
  const file = JSON.parse(readFileSync(path, 'utf8')) as TokenizerFile;
  const token = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  const whole = {
    ...{ version: '1.0', truncation: null, padding: null, normalizer: null, post_processor: null },
    added_tokens: file.added_tokens.map((added) => ({ ...token, ...added })),
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: file.pre_tokenizer.pretokenizers.map((step) => ({
        trim_offsets: false,
        ...step,
      })),
    },
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true },
    model: {
      ...{ dropout: null, unk_token: null, continuing_subword_prefix: null },
      ...{ end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false },
      ...file.model,
    },
  };
  writeFileSync(path, JSON.stringify(whole));
  writeFileSync(
    join(folder, 'tokenizer_config.json'),
    JSON.stringify({
      ...{ tokenizer_class: 'PreTrainedTokenizerFast', add_bos_token: false },
      ...{ bos_token: '<|begin|>', eos_token: '<|end|>', clean_up_tokenization_spaces: false },
    }),
  );
  writeFileSync(join(folder, 'chat_template.jinja'), chatTemplate);
  writeFileSync(
    join(folder, 'generation_config.json'),
    JSON.stringify({ bos_token_id: 318, eos_token_id: 319 }),
  );
  return folder;
}
