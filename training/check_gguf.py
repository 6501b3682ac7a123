"""Run an exported GGUF in plain numpy and compare its logits with the checkpoint's; print a greedy continuation."""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import gguf
from core import Config, Model
from export import MODELS
from tokenizer import HERE, Tokenizer


def rms(x: np.ndarray, w: np.ndarray, eps: float) -> np.ndarray:
    """RMS norm over the last axis."""
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w


def forward(meta: dict[str, object], w: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """Logits [T, vocab] of a qwen3 GGUF."""
    m = {k[6:]: v for k, v in meta.items() if k.startswith('qwen3.')}
    H, KV, hd = m['attention.head_count'], m['attention.head_count_kv'], m['attention.key_length']
    eps, T = m['attention.layer_norm_rms_epsilon'], len(ids)
    ang = np.arange(T)[:, None] * m['rope.freq_base'] ** (-np.arange(0, hd, 2) / hd)[None]
    cs, sn = np.cos(ang)[:, None], np.sin(ang)[:, None]

    def rot(z: np.ndarray) -> np.ndarray:
        a, b = z[..., :hd // 2], z[..., hd // 2:]
        return np.concatenate([a * cs - b * sn, a * sn + b * cs], -1)

    x = w['token_embd.weight'][ids]
    for i in range(m['block_count']):
        def t(name: str) -> np.ndarray:
            return w[f'blk.{i}.{name}.weight']
        h = rms(x, t('attn_norm'), eps)
        q = rot(rms((h @ t('attn_q').T).reshape(T, H, hd), t('attn_q_norm'), eps))
        k = rot(rms((h @ t('attn_k').T).reshape(T, KV, hd), t('attn_k_norm'), eps))
        v = (h @ t('attn_v').T).reshape(T, KV, hd)
        k, v = (np.repeat(z, H // KV, 1) for z in (k, v))
        s = np.einsum('qhd,khd->hqk', q, k) / np.sqrt(hd) + np.triu(np.full((T, T), -1e30), 1)
        p = np.exp(s - s.max(-1, keepdims=True))
        o = np.einsum('hqk,khd->qhd', p / p.sum(-1, keepdims=True), v)
        x = x + o.reshape(T, -1) @ t('attn_output').T
        h = rms(x, t('ffn_norm'), eps)
        g = h @ t('ffn_gate').T
        x = x + (g / (1 + np.exp(-g)) * (h @ t('ffn_up').T)) @ t('ffn_down').T
    return rms(x, w['output_norm.weight'], eps) @ w['token_embd.weight'].T


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--file', type=Path, default=MODELS / 'paceline-default.gguf', help='GGUF')
    parser.add_argument('--checkpoint', type=Path, default=HERE / 'work' / 'target.pt', help='what it was made from')
    parser.add_argument('--prompt', default='export function ', help='text to continue')
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    meta, w = gguf.read(args.file)
    tok, ck = Tokenizer(), torch.load(args.checkpoint)
    model = Model(Config(**ck['cfg']))
    model.load(ck['model'])
    ids = tok.encode((HERE / 'core.py').read_bytes())[:256].astype(np.int64).tolist()
    h, _, _ = model.trunk(torch.tensor([ids]))
    want = ((h.float() * model.norm) @ model.emb.t()).numpy()
    got = forward(meta, w, ids)
    err = np.abs(got - want).max() / want.std()
    same = (got.argmax(-1) == want.argmax(-1)).mean()
    print(f'largest difference {err:.4f} of the logits\' spread; same argmax in {100 * same:.1f}%')
    text = [tok.eot] + tok.encode(args.prompt.encode()).astype(np.int64).tolist()
    for _ in range(48):
        text.append(int(forward(meta, w, text)[-1].argmax()))
    print(tok.decode(text))
    raise SystemExit(0 if err < 0.6 and same > 0.95 else 1)


if __name__ == '__main__':
    main()
