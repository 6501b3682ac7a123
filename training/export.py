"""Write a training checkpoint as GGUF: the default model, loadable by anything that reads qwen3."""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import gguf
from core import QK_GAIN, Config
from tokenizer import HERE, SPECIALS, Tokenizer

MODELS = HERE.parent / 'models' / 'default'
CHAT_TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}")


def array(t: torch.Tensor) -> np.ndarray:
    """A float numpy copy."""
    return t.detach().float().numpy()


def vocabulary(tok: Tokenizer) -> gguf.Meta:
    """The tokenizer's metadata."""
    sp = tok.specials
    return {
        'tokenizer.ggml.model': ('str', 'gpt2'), 'tokenizer.ggml.pre': ('str', 'qwen2'),
        'tokenizer.ggml.tokens': ('arr:str', tok.tokens),
        'tokenizer.ggml.token_type': ('arr:i32', [3 if t in SPECIALS else 1 for t in tok.tokens]),
        'tokenizer.ggml.merges': ('arr:str', tok.merges),
        'tokenizer.ggml.bos_token_id': ('u32', sp['<|endoftext|>']),
        'tokenizer.ggml.eos_token_id': ('u32', sp['<|endoftext|>']),
        'tokenizer.ggml.eot_token_id': ('u32', sp['<|im_end|>']),
        'tokenizer.ggml.padding_token_id': ('u32', sp['<|endoftext|>']),
        'tokenizer.ggml.mask_token_id': ('u32', sp['<|mask|>']),
        # A text begins as a document does in training: right after <|endoftext|>.
        'tokenizer.ggml.add_bos_token': ('bool', True),
        'tokenizer.chat_template': ('str', CHAT_TEMPLATE),
    }


def general(name: str, description: str, q8: bool) -> gguf.Meta:
    """The general.* metadata but for the architecture."""
    return {'general.type': ('str', 'model'), 'general.name': ('str', name), 'general.license': ('str', 'mit'),
            'general.description': ('str', description), 'general.file_type': ('u32', 7 if q8 else 0),
            'general.quantization_version': ('u32', 2)}


def shape_keys(arch: str, c: Config, blocks: int) -> gguf.Meta:
    """Sizes under an architecture's prefix."""
    return {f'{arch}.block_count': ('u32', blocks), f'{arch}.context_length': ('u32', c.context),
            f'{arch}.embedding_length': ('u32', c.dim), f'{arch}.feed_forward_length': ('u32', c.ff),
            f'{arch}.attention.head_count': ('u32', c.heads), f'{arch}.attention.head_count_kv': ('u32', c.kv_heads),
            f'{arch}.attention.key_length': ('u32', c.head_dim), f'{arch}.attention.value_length': ('u32', c.head_dim),
            f'{arch}.attention.layer_norm_rms_epsilon': ('f32', c.eps), f'{arch}.rope.freq_base': ('f32', c.rope_base),
            f'{arch}.rope.dimension_count': ('u32', c.head_dim)}


def block_tensors(c: Config, w: dict[str, torch.Tensor], i: int) -> dict[str, np.ndarray]:
    """GGUF tensors of block i from fused weights qkv, o, gu, d."""
    q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    qkv, gu = array(w['qkv']), array(w['gu'])
    ones, gain = np.ones(c.dim, np.float32), np.full(c.head_dim, QK_GAIN, np.float32)
    return {f'blk.{i}.attn_norm.weight': ones, f'blk.{i}.attn_q.weight': qkv[:q],
            f'blk.{i}.attn_k.weight': qkv[q:q + kv], f'blk.{i}.attn_v.weight': qkv[q + kv:],
            f'blk.{i}.attn_output.weight': array(w['o']), f'blk.{i}.attn_q_norm.weight': gain,
            f'blk.{i}.attn_k_norm.weight': gain, f'blk.{i}.ffn_norm.weight': ones,
            f'blk.{i}.ffn_gate.weight': gu[:c.ff], f'blk.{i}.ffn_up.weight': gu[c.ff:],
            f'blk.{i}.ffn_down.weight': array(w['d'])}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--checkpoint', type=Path, default=HERE / 'work' / 'target.pt', help='of train.py')
    parser.add_argument('--out', type=Path, default=MODELS / 'paceline-default.gguf', help='file to write')
    parser.add_argument('--f32', action='store_true', help='matrices in F32 instead of Q8_0')
    args = parser.parse_args()
    ck = torch.load(args.checkpoint, map_location='cpu')
    c, state = Config(**ck['cfg']), ck['model']
    tensors = {'token_embd.weight': array(state['emb']), 'output_norm.weight': array(state['norm'])}
    for i in range(c.layers):
        tensors.update(block_tensors(c, {k: state[f'blk.{i}.{k}'] for k in ('qkv', 'o', 'gu', 'd')}, i))
    meta: gguf.Meta = {'general.architecture': ('str', 'qwen3')}
    meta.update(general('Paceline default', 'TypeScript and Markdown, trained from permissively licensed packages',
                        not args.f32))
    # It was taught to continue text: `paceline run` must not wrap prompts into the chat template.
    meta['general.finetune'] = ('str', 'base')
    # Measured with bench/loops.ts: one of a hundred texts loops.
    meta['general.sampling.temp'] = ('f32', 0.8)
    meta.update(shape_keys('qwen3', c, c.layers))
    meta.update(vocabulary(Tokenizer()))
    size = gguf.write(args.out, meta, tensors, not args.f32)
    print(f'{args.out}: {size} bytes, step {ck["meta"]["steps"]}, {ck["meta"]["tokens"]} tokens seen')


if __name__ == '__main__':
    main()
