"""Weights of exported files (see export.py and the drafters' recipes), to go on from: as exact as their types are."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import gguf
from core import QK_GAIN, Config

Arrays = dict[str, np.ndarray]
Weights = dict[str, torch.Tensor]


def block(w: Arrays, i: int) -> Weights:
    """Fused weights qkv, o, gu, d of block i. Its gains must be the constants that export.py writes."""
    def t(name: str) -> np.ndarray:
        return w[f'blk.{i}.{name}.weight']
    for name, gain in (('attn_norm', 1), ('ffn_norm', 1), ('attn_q_norm', QK_GAIN), ('attn_k_norm', QK_GAIN)):
        if (t(name) != np.float32(gain)).any():
            raise ValueError(f'block {i} has gains of its own: not a file of this recipe')
    parts = {'qkv': np.concatenate([t('attn_q'), t('attn_k'), t('attn_v')]), 'o': t('attn_output'),
             'gu': np.concatenate([t('ffn_gate'), t('ffn_up')]), 'd': t('ffn_down')}
    return {k: torch.tensor(v) for k, v in parts.items()}


def target(path: Path) -> tuple[Config, Weights]:
    """A model's sizes, and its weights by the names of core.Model.state."""
    meta, w = gguf.read(path)
    m = {k.split('.', 1)[1]: v for k, v in meta.items() if k.startswith('qwen3.')}
    cfg = Config(vocab=w['token_embd.weight'].shape[0], dim=m['embedding_length'], layers=m['block_count'],
                 heads=m['attention.head_count'], kv_heads=m['attention.head_count_kv'],
                 head_dim=m['attention.key_length'], ff=m['feed_forward_length'], context=m['context_length'],
                 rope_base=m['rope.freq_base'], eps=m['attention.layer_norm_rms_epsilon'])
    state = {'emb': torch.tensor(w['token_embd.weight']), 'norm': torch.tensor(w['output_norm.weight'])}
    for i in range(cfg.layers):
        state |= {f'blk.{i}.{k}': v for k, v in block(w, i).items()}
    return cfg, state


def mtp(path: Path) -> Weights:
    """The weights of train_mtp.py."""
    meta, w = gguf.read(path)
    i = meta['qwen3.block_count'] - meta['qwen3.nextn_predict_layers']
    head = {'eh': f'blk.{i}.nextn.eh_proj.weight', 'norm': f'blk.{i}.nextn.shared_head_norm.weight'}
    return {k: torch.tensor(w[name]) for k, name in head.items()} | block(w, i)


def dflash(path: Path) -> Weights:
    """The weights of train_dflash.py."""
    meta, w = gguf.read(path)
    out = {'fc': torch.tensor(w['fc.weight']), 'norm': torch.tensor(w['output_norm.weight'])}
    for i in range(meta['dflash.block_count']):
        out |= {f'{i}.{k}': v for k, v in block(w, i).items()}
    return out
