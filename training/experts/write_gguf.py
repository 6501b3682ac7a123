"""Write the two mixtures of a checkpoint as GGUF of architecture `deepseek`: work/experts/plain.gguf and emo.gguf."""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from corpus import WORK
from model import Config, Mixture
from train import CHECKPOINT

import export
import gguf
from tokenizer import Tokenizer

DESCRIPTIONS = {'plain': 'a mixture of experts trained as usual', 'emo': 'a mixture trained with a pool of experts a document'}


def metadata(cfg: Config, name: str, tok: Tokenizer, q8: bool, steps: int) -> gguf.Meta:
    """All of a file's metadata."""
    key = 'deepseek'
    meta: gguf.Meta = {'general.architecture': ('str', key), **export.general(f'Paceline {name}', DESCRIPTIONS[name], q8)}
    meta['general.finetune'] = ('str', 'base')
    counts = {'block_count': cfg.layers, 'context_length': cfg.context, 'embedding_length': cfg.dim,
              'feed_forward_length': cfg.ff, 'attention.head_count': cfg.heads, 'attention.head_count_kv': cfg.heads,
              'rope.dimension_count': cfg.dim // cfg.heads, 'vocab_size': cfg.vocab, 'expert_count': cfg.experts,
              'expert_used_count': cfg.used, 'expert_shared_count': 1, 'expert_feed_forward_length': cfg.ff,
              'leading_dense_block_count': 0}
    meta.update({f'{key}.{k}': ('u32', n) for k, n in counts.items()})
    meta[f'{key}.attention.layer_norm_rms_epsilon'] = ('f32', cfg.eps)
    meta[f'{key}.rope.freq_base'] = ('f32', cfg.rope_base)
    meta[f'{key}.expert_weights_scale'] = ('f32', 1.0)
    meta['paceline.training.steps'] = ('u32', steps)
    return {**meta, **export.vocabulary(tok)}


def tensors(cfg: Config, w: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """GGUF's tensors. Rotation is of neighbouring pairs in training too, so that rows of q and k stay as they are."""
    ones = np.ones(cfg.dim, np.float32)
    out = {'token_embd.weight': w['emb'], 'output_norm.weight': w['norm'], 'output.weight': w['head']}
    for i in range(cfg.layers):
        q, k, v = w[f'{i}.qkv'].chunk(3)
        gate, up = w[f'{i}.gu'].chunk(2, 1)
        shared_gate, shared_up = w[f'{i}.shared_gu'].chunk(2)
        out.update({f'blk.{i}.{name}.weight': tensor for name, tensor in {
            'attn_norm': ones, 'attn_q': q, 'attn_k': k, 'attn_v': v, 'attn_output': w[f'{i}.o'], 'ffn_norm': ones,
            'ffn_gate_inp': w[f'{i}.router'], 'ffn_gate_exps': gate, 'ffn_up_exps': up, 'ffn_down_exps': w[f'{i}.down'],
            'ffn_gate_shexp': shared_gate, 'ffn_up_shexp': shared_up, 'ffn_down_shexp': w[f'{i}.shared_down']}.items()})
    return {name: np.ascontiguousarray(t if isinstance(t, np.ndarray) else t.numpy()) for name, t in out.items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--f32', action='store_true', help='matrices in F32 instead of Q8_0')
    parser.add_argument('--folder', type=Path, default=WORK, help='where the files go')
    args = parser.parse_args()
    saved = torch.load(CHECKPOINT, map_location='cpu')
    cfg, tok = Config(), Tokenizer(WORK / 'vocab.json')
    for name in ('plain', 'emo'):
        model = Mixture(cfg, emo=name == 'emo')
        model.weights.flat.copy_(saved[name]['flat'])
        path = args.folder / f'{name}.gguf'
        size = gguf.write(path, metadata(cfg, name, tok, not args.f32, saved['step']), tensors(cfg, model.weights.views),
                          not args.f32)
        print(f'{path}: {size} bytes, step {saved["step"]}')


if __name__ == '__main__':
    main()
