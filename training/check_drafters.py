"""Run exported drafters in plain numpy, one round at a time as an engine does, against the batched code that trains
and measures them, both with the files' weights. Prints the share of equal drafts; exits 1 below 0.9 (bf16 may flip near-ties).
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as nn

import gguf
import restore
from check_gguf import rms
from core import BF
from data import WORK
from drafting import load_target
from drafting import rms as unit
from export import MODELS
from tokenizer import Tokenizer
from train_dflash import BLOCK, draft
from train_generate import write_rows
from train_mtp import block

Tensors = dict[str, np.ndarray]


class Layer:
    """One qwen3 layer of a GGUF over explicit keys and values."""

    def __init__(self, w: Tensors, i: int, meta: dict[str, object], arch: str) -> None:
        self.w, self.i = w, i
        self.H, self.KV = meta[f'{arch}.attention.head_count'], meta[f'{arch}.attention.head_count_kv']
        self.hd, self.base = meta[f'{arch}.attention.key_length'], meta[f'{arch}.rope.freq_base']

    def t(self, name: str) -> np.ndarray:
        """A tensor of this layer."""
        return self.w[f'blk.{self.i}.{name}.weight']

    def rot(self, z: np.ndarray, pos: np.ndarray) -> np.ndarray:
        """NEOX rotation at positions."""
        ang = pos[:, None] * self.base ** (-np.arange(0, self.hd, 2) / self.hd)[None]
        cs, sn, a, b = np.cos(ang)[:, None], np.sin(ang)[:, None], z[..., :self.hd // 2], z[..., self.hd // 2:]
        return np.concatenate([a * cs - b * sn, a * sn + b * cs], -1)

    def kv(self, h: np.ndarray, pos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keys and values [T, KV, hd] of normalised rows."""
        k = rms((h @ self.t('attn_k').T).reshape(-1, self.KV, self.hd), self.t('attn_k_norm'), 1e-6)
        return self.rot(k, pos), (h @ self.t('attn_v').T).reshape(-1, self.KV, self.hd)

    def run(self, x: np.ndarray, h: np.ndarray, k: np.ndarray, v: np.ndarray, pos: np.ndarray) -> np.ndarray:
        """Attention of rows x (h normalised) over k, v without a mask, then the FFN."""
        q = rms((h @ self.t('attn_q').T).reshape(-1, self.H, self.hd), self.t('attn_q_norm'), 1e-6)
        k, v = (np.repeat(z, self.H // self.KV, 1) for z in (k, v))
        s = np.einsum('qhd,khd->hqk', self.rot(q, pos), k) / np.sqrt(self.hd)
        p = np.exp(s - s.max(-1, keepdims=True))
        o = np.einsum('hqk,khd->qhd', p / p.sum(-1, keepdims=True), v).reshape(len(x), -1)
        x = x + o @ self.t('attn_output').T
        f = rms(x, self.t('ffn_norm'), 1e-6)
        g = f @ self.t('ffn_gate').T
        return x + (g / (1 + np.exp(-g)) * (f @ self.t('ffn_up').T)) @ self.t('ffn_down').T


def mtp_round(meta: dict, w: Tensors, emb: np.ndarray, ids: np.ndarray, h: np.ndarray, n: int, depth: int) -> list[int]:
    """Drafts after ids[n]: rows 0..n from the target's rows h[0..n-1] (row 0: zeros), then its own."""
    layer = Layer(w, meta['qwen3.block_count'] - 1, meta, 'qwen3')
    ks, vs, out = [], [], []
    token, hidden = 0, np.zeros(emb.shape[1], np.float32)
    for p in range(n + depth):
        token = int(ids[p]) if p <= n else out[-1]
        if 0 < p <= n:
            hidden = h[p - 1]
        e = rms(emb[token], layer.t('nextn.enorm'), 1e-6)
        x = (layer.t('nextn.eh_proj') @ np.concatenate([e, rms(hidden, layer.t('nextn.hnorm'), 1e-6)]))[None]
        a = rms(x, layer.t('attn_norm'), 1e-6)
        k, v = layer.kv(a, np.array([p]))
        ks.append(k)
        vs.append(v)
        if p < n:
            continue
        x = layer.run(x, a, np.concatenate(ks), np.concatenate(vs), np.array([p]))
        hidden = rms(x[0], layer.t('nextn.shared_head_norm'), 1e-6)
        out.append(int((emb @ hidden).argmax()))
    return out


def dflash_round(meta: dict, w: Tensors, emb: np.ndarray, ids: np.ndarray, taps: np.ndarray, n: int) -> list[int]:
    """Drafts after ids[n] from the features of tokens 0..n-1."""
    ctx = rms(taps[:n] @ w['fc.weight'].T, w['enc.output_norm.weight'], 1e-6)
    size = meta['dflash.block_size']
    x = emb[[int(ids[n])] + [meta['tokenizer.ggml.mask_token_id']] * (size - 1)]
    pos = np.arange(n, n + size)
    for i in range(meta['dflash.block_count']):
        layer = Layer(w, i, meta, 'dflash')
        h = rms(x, layer.t('attn_norm'), 1e-6)
        kc, vc = layer.kv(ctx, np.arange(n))
        k, v = layer.kv(h, pos)
        x = layer.run(x, h, np.concatenate([kc, k]), np.concatenate([vc, v]), pos)
    return (rms(x, w['output_norm.weight'], 1e-6)[1:] @ emb.T).argmax(-1).tolist()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--mtp', type=Path, default=MODELS / 'paceline-default-mtp.gguf', help='GGUF')
    parser.add_argument('--dflash', type=Path, default=MODELS / 'paceline-default-dflash.gguf', help='GGUF')
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    model, mask = load_target(), Tokenizer().mask
    ids = np.fromfile(WORK / 'heldout-ts.bin', dtype=np.uint16)[5000:5064].astype(np.int64)
    batch = write_rows(model, torch.from_numpy(ids)[None], 96, 1, torch.Generator())
    row, h = batch['ids'][0].numpy(), batch['h'][0].float().numpy()
    emb = model.emb.numpy()
    meta, w = gguf.read(args.mtp)
    trained = {k: t.to(BF) if t.ndim == 2 else t for k, t in restore.mtp(args.mtp).items()}
    hidden, keys, preds = nn.pad(batch['h'][:, :-1], (0, 0, 1, 0)), [], []
    e = unit(model.emb[batch['ids']]).to(BF)
    for _ in range(3):
        out = block(trained, model.cfg, e, hidden, keys)
        preds.append((out.to(BF) @ model.emb_b.t()).argmax(-1)[0].numpy())
        hidden = nn.pad(out[:, :-1].to(BF), (0, 0, 1, 0))
    same = total = 0
    for n in range(64, 92, 3):
        got = mtp_round(meta, w, emb, row, h, n, 3)
        for j in range(3):  # comparable while the drafts equal the text
            same, total = same + (got[j] == preds[j][n + j]), total + 1
            if got[j] != row[n + j + 1]:
                break
    share = same / total
    print(f'mtp: {same} of {total} drafts equal')
    meta, w = gguf.read(args.dflash)
    trained = {k: t.to(BF) if t.ndim == 2 else t for k, t in restore.dflash(args.dflash).items()}
    same = total = 0
    for n in range(64, 88, 3):
        x = model.emb[mask].expand(1, 1, BLOCK, -1).clone()
        x[0, 0, 0] = model.emb[int(row[n])]
        rows = draft(trained, model.cfg, batch['taps'], x, torch.tensor([[n]]))[0, 0, 1:]
        want = (rows.to(BF) @ model.emb_b.t()).argmax(-1).tolist()
        got = dflash_round(meta, w, emb, row, batch['taps'][0].float().numpy(), n)
        same, total = same + sum(a == b for a, b in zip(want, got)), total + len(want)
    print(f'dflash: {same} of {total} drafts equal')
    raise SystemExit(0 if min(share, same / total) >= 0.9 else 1)


if __name__ == '__main__':
    main()
