"""Train the default model's MTP block: from the target's last row and the next token's embedding, one qwen3 block that
drafts token after token. Trained on the target's own text with its own outputs fed back for PASSES steps, so that later
drafts are trained as they are used. Starts from the target's last block. Writes work/mtp.pt and the GGUF.
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
from drafting import Batch, Recipe, Weights, attend, ffn, fit, head_loss, heads, load_target, records, rms
from export import MODELS, array, block_tensors, general, shape_keys, vocabulary
from tokenizer import Tokenizer

PASSES = 3


def initial(model: Model) -> Weights:
    """The target's last block, its final gain, and a projection that begins as the hidden row plus a bit of token."""
    c, last = model.cfg, model.blocks[-1].w
    gen = torch.Generator().manual_seed(5)
    eh = torch.randn(c.dim, 2 * c.dim, generator=gen) * 0.01
    eh[:, :c.dim] += torch.eye(c.dim) * 0.5
    eh[:, c.dim:] += torch.eye(c.dim) * 0.5
    return {'eh': eh, 'norm': model.norm.clone()} | {k: w.clone() for k, w in last.items()}


def block(w: Weights, c: Config, e: torch.Tensor, hidden: torch.Tensor, keys: list[tuple[torch.Tensor, torch.Tensor]]
          ) -> torch.Tensor:
    """One pass over rows [B, R, D]: e the normalised embeddings, hidden the previous position's rows. keys holds the
    earlier passes' (k, v) and gets this one's. Pass j (from 0) sees pass 0 up to j positions back, then the diagonal of
    each later pass. Returns the rows after the final norm, with its gain."""
    B, R, _ = e.shape
    H, KV, hd = c.heads, c.kv_heads, c.head_dim
    x = nn.linear(torch.cat([e, rms(hidden).to(BF)], -1), w['eh']).float()
    q, k, v = nn.linear(rms(x).to(BF), w['qkv']).split([H * hd, KV * hd, KV * hd], -1)
    pos = torch.arange(R)
    q = heads(c, q, H, pos).reshape(B, KV, H // KV, R, hd)
    k, v = heads(c, k, KV, pos), heads(c, v, KV, None)
    keys.append((k, v))
    j = len(keys) - 1
    k0, v0 = keys[0]
    s = torch.matmul(q.reshape(B, KV, -1, hd), k0.transpose(2, 3)).view(B, KV, H // KV, R, R)
    s = s.masked_fill(torch.ones(R, R, dtype=torch.bool).triu(1 - j), -3e4) if j else \
        s.masked_fill(torch.ones(R, R, dtype=torch.bool).triu(1), -3e4)
    extra = []
    for i in range(1, j + 1):  # the key pass i made for the position j - i before this row's
        moved = nn.pad(keys[i][0], (0, 0, j - i, 0))[:, :, :R]
        extra.append((q.float() * moved[:, :, None].float()).sum(-1, keepdim=True).to(s.dtype))
    p = attend(torch.cat([s, *extra], -1), c)
    o = torch.matmul(p[..., :R].reshape(B, KV, -1, R), v0).view(B, KV, H // KV, R, hd)
    for i in range(1, j + 1):
        moved = nn.pad(keys[i][1], (0, 0, j - i, 0))[:, :, :R]
        o = o + p[..., R + i - 1:R + i] * moved[:, :, None]
    o = o.reshape(B, H, R, hd).transpose(1, 2).reshape(B, R, H * hd)
    x = ffn(w, x + nn.linear(o, w['o']).float())
    return rms(x) * w['norm']


def make_loss(model: Model, share: float):
    """Loss over a batch of own text: each pass's cross entropy against the target's argmax on a part of the rows."""
    c = model.cfg

    def loss(w: Weights, batch: Batch) -> tuple[torch.Tensor, str]:
        ids, h = batch['ids'], batch['h']
        B, R = ids.shape
        with torch.no_grad():
            y = (h.view(B * R, -1) @ model.emb_b.t()).argmax(-1).view(B, R)
            good = nn.pad((y[:, :-1] == ids[:, 1:]).float(), (1, 0))  # the token at p is what the target chose
            e = rms(model.emb[ids]).to(BF)
        hidden = nn.pad(h[:, :-1], (0, 0, 1, 0))
        keys: list[tuple[torch.Tensor, torch.Tensor]] = []
        weight = torch.ones(B, R)
        weight[:, :8] = 0
        total, notes = torch.zeros(()), []
        for j in range(PASSES):
            out = block(w, c, e, hidden, keys)
            if j:
                weight = weight * (0.1 + 0.9 * good.roll(j - 1, 1))
            pick = torch.randperm(B * R)[:int(B * R * share)]
            part = weight.reshape(-1)[pick]
            value, hits = head_loss(out.reshape(B * R, -1)[pick], model.emb_b, y.reshape(-1)[pick],
                                    part / (part.sum() + 1e-6))
            total = total + value * (1.0, 0.8, 0.6, 0.5)[j]
            notes.append(f'{float((hits * part).sum() / part.sum()):.3f}')
            hidden = nn.pad(out[:, :-1].to(BF), (0, 0, 1, 0))
        return total, f'loss {total.item():.3f}, right by pass {" ".join(notes)}'

    return loss


def export(model: Model, w: Weights, path: Path) -> int:
    """Write the block as a GGUF of its own: qwen3 with block_count trunk + 1 and nextn_predict_layers 1."""
    c, n = model.cfg, model.cfg.layers
    tensors: dict[str, np.ndarray] = {
        f'blk.{n}.nextn.eh_proj.weight': array(w['eh']), f'blk.{n}.nextn.enorm.weight': np.ones(c.dim, np.float32),
        f'blk.{n}.nextn.hnorm.weight': np.ones(c.dim, np.float32),
        f'blk.{n}.nextn.shared_head_norm.weight': array(w['norm'])}
    tensors.update(block_tensors(c, w, n))
    meta: gguf.Meta = {'general.architecture': ('str', 'qwen3')}
    meta.update(general('Paceline default MTP', 'Multi-token prediction block of Paceline default', True))
    meta.update(shape_keys('qwen3', c, n + 1))
    meta['qwen3.nextn_predict_layers'] = ('u32', 1)
    meta.update(vocabulary(Tokenizer()))
    return gguf.write(path, meta, tensors)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=8.0, help='how long')
    parser.add_argument('--batch', type=int, default=4, help='rows of a micro batch (two a step)')
    parser.add_argument('--share', type=float, default=0.4, help='share of rows that go through the head')
    parser.add_argument('--threads', type=int, default=2, help='worker threads')
    parser.add_argument('--lr', type=float, default=0.01, help='peak rate of Muon')
    parser.add_argument('--from-gguf', type=Path, help='begin with the weights of this file')
    parser.add_argument('--out', type=Path, default=MODELS / 'paceline-default-mtp.gguf', help='GGUF to write')
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = load_target()
    c = model.cfg
    w = restore.mtp(args.from_gguf) if args.from_gguf else initial(model)
    kv = c.kv_heads * c.head_dim
    fit(w, {'qkv': [c.heads * c.head_dim, kv, kv], 'gu': [c.ff, c.ff]}, make_loss(model, args.share),
        records(args.batch, 3), Recipe(args.minutes, args.threads, args.lr))
    torch.save(w, WORK / 'mtp.pt')
    print(f'{args.out}: {export(model, w, args.out)} bytes')


if __name__ == '__main__':
    main()
