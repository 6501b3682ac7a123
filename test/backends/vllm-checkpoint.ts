/**
 * A random model that vLLM loads: a Llama of a size that its kernels take, a byte-level vocabulary in the
 * whole of the `tokenizers` format, and a chat template.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomCheckpoint } from '../convert/checkpoint.js';
import { thinkingTemplate } from '../server/support.js';
import { type TokenizerParts, tokenizerFile } from './tokenizer-file.js';

/** Turns as `user: ...`, each ended by the end token's text. */
const chatTemplate =
  "{% for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}";

interface ShortTokenizerFile {
  readonly model: Pick<TokenizerParts, 'vocab' | 'merges'>;
  readonly pre_tokenizer: { readonly pretokenizers: TokenizerParts['steps'] };
  readonly added_tokens: TokenizerParts['added'];
}

const marks = ['<think>', '</think>'];

/**
 * Writes the model. @returns its folder.
 * @param options.thinks its template opens a thought, and the marks of one are tokens
 * @param options.endless no greedy text of it ends by itself
 */
export function vllmCheckpoint(
  options: { readonly thinks?: boolean; readonly endless?: boolean } = {},
): string {
  const { thinks = false, endless = false } = options;
  const { folder } = randomCheckpoint('LlamaForCausalLM', {
    type: 'BF16',
    config: {
      ...{ hidden_size: 128, intermediate_size: 256, num_attention_heads: 4, head_dim: 32 },
      ...{ num_key_value_heads: 2, max_position_embeddings: 4096, torch_dtype: 'bfloat16' },
      ...{ hidden_act: 'silu', bos_token_id: 318, eos_token_id: 319, attention_bias: false },
    },
  });
  if (endless) neverEnd(join(folder, 'model.safetensors'));
  const path = join(folder, 'tokenizer.json');
  const file = JSON.parse(readFileSync(path, 'utf8')) as ShortTokenizerFile;
  const parts = { ...file.model, added: file.added_tokens };
  const whole = tokenizerFile({
    ...(thinks ? withMarks(parts) : parts),
    steps: file.pre_tokenizer.pretokenizers,
  });
  writeFileSync(path, JSON.stringify(whole));
  writeFileSync(
    join(folder, 'tokenizer_config.json'),
    JSON.stringify({
      ...{ tokenizer_class: 'PreTrainedTokenizerFast', add_bos_token: false },
      ...{ bos_token: '<|begin|>', eos_token: '<|end|>', clean_up_tokenization_spaces: false },
    }),
  );
  writeFileSync(join(folder, 'chat_template.jinja'), thinks ? thinkingTemplate : chatTemplate);
  writeFileSync(
    join(folder, 'generation_config.json'),
    JSON.stringify({ bos_token_id: 318, eos_token_id: 319 }),
  );
  return folder;
}

/** The last two merged texts give their places to the marks of a thought. */
function withMarks({ vocab, merges, added }: Omit<TokenizerParts, 'steps'>) {
  const gone = merges.slice(-marks.length);
  const ids = gone.map((pair) => vocab[pair.join('')] as number);
  const kept = Object.entries(vocab).filter(([, id]) => !ids.includes(id));
  const given = ids.map((id, at) => [marks[at] as string, id] as const);
  return {
    vocab: Object.fromEntries([...kept, ...given]),
    merges: merges.slice(0, -marks.length),
    added: [...added, ...given.map(([content, id]) => ({ id, content, special: false }))],
  };
}

/** Gives the end token a logit of 0, which the best of hundreds of random ones is always above. */
function neverEnd(path: string): void {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<
    string,
    { readonly shape: readonly [number, number]; readonly data_offsets: readonly [number, number] }
  >;
  const head = header['lm_head.weight'];
  if (head === undefined) throw new Error('the model has no head of its own');
  const row = (head.data_offsets[1] - head.data_offsets[0]) / head.shape[0];
  file.fill(0, start + head.data_offsets[1] - row, start + head.data_offsets[1]);
  writeFileSync(path, file);
}
