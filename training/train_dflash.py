"""Train the default model's DFlash draft model: the target's hidden states become keys and values of a small
transformer that fills a whole block of masked tokens in one non-causal pass. Starts from the target's last blocks.
Writes work/dflash.pt and the GGUF.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as nn

import gguf
import restore
from core import BF, Config, Model
from data import WORK
from drafting import TAPS, Batch, Recipe, Weights, attend, ffn, fit, head_loss, heads, load_target, records, rms
from export import MODELS, array, block_tensors, general, shape_keys, vocabulary
from tokenizer import Tokenizer

BLOCK, LAYERS = 8, 3


def initial(model: Model) -> Weights:
    """The target's last blocks; features begin as the last tap."""
    c = model.cfg
    gen = torch.Generator().manual_seed(6)
    fc = torch.randn(c.dim, len(TAPS) * c.dim, generator=gen) * 0.005
    fc[:, -c.dim:] += torch.eye(c.dim)
    w: Weights = {'fc': fc, 'norm': model.norm.clone()}
    for i in range(LAYERS):
        w.update({f'{i}.{k}': t.clone() for k, t in model.blocks[c.layers - LAYERS + i].w.items()})
    return w


def draft(w: Weights, c: Config, features: torch.Tensor, x: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """Final rows [B, A, BLOCK, D] of A blocks for each sequence. features [B, T, F*D] of tokens 0..T-1; x the blocks'
    embeddings [B, A, BLOCK, D]; start [B, A] the anchors' positions: a block sees features strictly below its own."""
    B, T, _ = features.shape
    A, R, H, KV, hd = x.shape[1], x.shape[1] * BLOCK, c.heads, c.kv_heads, c.head_dim
    ctx = rms(nn.linear(features, w['fc'])).to(BF)
    pos = (start[:, :, None] + torch.arange(BLOCK)).view(B, R)
    hide = (torch.arange(T)[None, None] >= start.repeat_interleave(BLOCK, 1)[:, :, None])[:, None, None]
    x = x.reshape(B, R, c.dim).float()
    for i in range(LAYERS):
        layer = {k: w[f'{i}.{k}'] for k in ('qkv', 'o', 'gu', 'd')}
        q, k, v = nn.linear(rms(x).to(BF), layer['qkv']).split([H * hd, KV * hd, KV * hd], -1)
        kc, vc = nn.linear(ctx, layer['qkv'][H * hd:]).split([KV * hd, KV * hd], -1)
        q = heads(c, q, H, pos).reshape(B, KV, H // KV, R, hd)
        k, v = heads(c, k, KV, pos).view(B, KV, A, BLOCK, hd), heads(c, v, KV, None).reshape(B, KV, A, BLOCK, hd)
        kc, vc = heads(c, kc, KV, torch.arange(T)), heads(c, vc, KV, None)
        far = torch.matmul(q.reshape(B, KV, -1, hd), kc.transpose(2, 3)).view(B, KV, H // KV, R, T)
        far = far.masked_fill(hide, -3e4)
        own = q.view(B, KV, H // KV, A, BLOCK, hd).transpose(2, 3).reshape(B, KV, A, -1, hd)
        near = torch.matmul(own, k.transpose(3, 4)).view(B, KV, A, H // KV, BLOCK, BLOCK).transpose(2, 3)
        p = attend(torch.cat([far, near.reshape(B, KV, H // KV, R, BLOCK)], -1), c)
        o = torch.matmul(p[..., :T].reshape(B, KV, -1, T), vc).view(B, KV, H // KV, R, hd)
        mine = p[..., T:].reshape(B, KV, H // KV, A, BLOCK, BLOCK).transpose(2, 3).reshape(B, KV, A, -1, BLOCK)
        o = o + torch.matmul(mine, v).view(B, KV, A, H // KV, BLOCK, hd).transpose(2, 3).reshape(o.shape)
        o = o.reshape(B, H, R, hd).transpose(1, 2).reshape(B, R, H * hd)
        x = ffn(layer, x + nn.linear(o, layer['o']).float())
    return (rms(x) * w['norm']).view(B, A, BLOCK, c.dim)


def make_loss(model: Model, anchors: int, mask: int, gamma: float):
    """Loss over a batch: random anchors in the target's own text, cross entropy of the following tokens, the nearer the
    heavier."""
    c = model.cfg

    def loss(w: Weights, batch: Batch) -> tuple[torch.Tensor, str]:
        ids = batch['ids']
        B, T = ids.shape
        start = torch.stack([torch.randperm(T - BLOCK - batch['from'])[:anchors] for _ in range(B)]) + batch['from']
        at = start[:, :, None] + torch.arange(BLOCK)
        labels = ids.gather(1, at.view(B, -1)).view(B, anchors, BLOCK)
        with torch.no_grad():
            x = model.emb[mask].expand(B, anchors, BLOCK, c.dim).clone()
            x[:, :, 0] = model.emb[labels[:, :, 0]]
        rows = draft(w, c, batch['taps'], x, start)[:, :, 1:]
        weight = torch.exp(-torch.arange(BLOCK - 1) / gamma).expand(B, anchors, BLOCK - 1).reshape(-1)
        value, hits = head_loss(rows.reshape(-1, c.dim), model.emb_b, labels[:, :, 1:].reshape(-1), weight / weight.sum())
        right = hits.view(-1, BLOCK - 1).float()
        by = ' '.join(f'{float(v):.2f}' for v in right.mean(0))
        return value, f'loss {value.item():.3f}, accepted {right.cumprod(1).sum(1).mean().item():.2f}, right by slot {by}'

    return loss


def export(model: Model, w: Weights, path: Path) -> int:
    """Write the draft model as GGUF (arch dflash)."""
    c, tok = model.cfg, Tokenizer()
    tensors: dict[str, np.ndarray] = {'fc.weight': array(w['fc']), 'enc.output_norm.weight': np.ones(c.dim, np.float32),
                                      'output_norm.weight': array(w['norm'])}
    for i in range(LAYERS):
        tensors.update(block_tensors(c, {k: w[f'{i}.{k}'] for k in ('qkv', 'o', 'gu', 'd')}, i))
    meta: gguf.Meta = {'general.architecture': ('str', 'dflash')}
    meta.update(general('Paceline default DFlash', 'Block-diffusion draft model of Paceline default', True))
    meta.update(shape_keys('dflash', c, LAYERS))
    meta['dflash.block_size'] = ('u32', BLOCK)
    meta['dflash.target_layers'] = ('arr:i32', [t + 1 for t in TAPS])
    meta.update(vocabulary(tok))
    return gguf.write(path, meta, tensors)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=10.0, help='how long')
    parser.add_argument('--batch', type=int, default=4, help='rows of a micro batch (two a step)')
    parser.add_argument('--anchors', type=int, default=32, help='blocks of a row')
    parser.add_argument('--gamma', type=float, default=4.0, help='how fast the weight falls along the block')
    parser.add_argument('--threads', type=int, default=2, help='worker threads')
    parser.add_argument('--lr', type=float, default=0.01, help='peak rate of Muon')
    parser.add_argument('--from-gguf', type=Path, help='begin with the weights of this file')
    parser.add_argument('--out', type=Path, default=MODELS / 'paceline-default-dflash.gguf', help='GGUF to write')
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(2)
    model = load_target()
    c, kv = model.cfg, model.cfg.kv_heads * model.cfg.head_dim
    w = restore.dflash(args.from_gguf) if args.from_gguf else initial(model)
    splits = {'fc': [c.dim]}
    for i in range(LAYERS):
        splits |= {f'{i}.qkv': [c.heads * c.head_dim, kv, kv], f'{i}.gu': [c.ff, c.ff]}
    fit(w, splits, make_loss(model, args.anchors, Tokenizer().mask, args.gamma), records(args.batch, 4),
        Recipe(args.minutes, args.threads, args.lr))
    torch.save(w, WORK / 'dflash.pt')
    print(f'{args.out}: {export(model, w, args.out)} bytes')


if __name__ == '__main__':
    main()
