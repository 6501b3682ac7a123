"""Measure the drafters by a draft-verify simulation on held-out text, greedy: the target continues held-out prompts,
and each round's drafts are compared with what it wrote. A draft counts only when all before it in its round were right,
so running the drafter on the target's own tokens gives exactly the accepted lengths of a real loop. The drafters are read
from their exported files.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as nn

import restore
from core import BF, Model
from data import WORK
from drafting import Batch, Weights, load_target, rms
from export import MODELS
from tokenizer import Tokenizer
from train_dflash import BLOCK, draft
from train_generate import write_rows
from train_mtp import block


def mtp_lengths(model: Model, w: Weights, batch: Batch, depth: int) -> torch.Tensor:
    """Accepted drafts [B, T] for a round whose last token is at each position."""
    ids, h = batch['ids'], batch['h']
    e = rms(model.emb[ids]).to(BF)
    hidden, keys, ok = nn.pad(h[:, :-1], (0, 0, 1, 0)), [], []
    want = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], -1)], 1)
    for j in range(depth):
        out = block(w, model.cfg, e, hidden, keys)
        hit = ((out.to(BF) @ model.emb_b.t()).argmax(-1) == want).float()
        ok.append(nn.pad(hit[:, j:], (0, j)))  # pass j judges the token j + 1 after the round's last one
        hidden = nn.pad(out[:, :-1].to(BF), (0, 0, 1, 0))
    return torch.stack(ok).cumprod(0).sum(0)


def dflash_lengths(model: Model, w: Weights, batch: Batch, mask: int) -> torch.Tensor:
    """The same for the DFlash draft model."""
    ids, first = batch['ids'], batch['from']
    B, T = ids.shape
    start = torch.arange(first, T).expand(B, -1)
    padded = nn.pad(ids, (0, BLOCK), value=-1)
    labels = torch.stack([padded[:, first + k:T + k] for k in range(1, BLOCK)], -1)
    x = model.emb[mask].expand(B, T - first, BLOCK, model.cfg.dim).clone()
    x[:, :, 0] = model.emb[ids[:, first:]]
    rows = draft(w, model.cfg, batch['taps'], x, start)[:, :, 1:]
    hit = ((rows.to(BF) @ model.emb_b.t()).argmax(-1) == labels).float()
    out = torch.zeros(B, T)
    out[:, first:] = hit.cumprod(-1).sum(-1)
    return out


def rounds(lengths: torch.Tensor, first: int, depth: int) -> tuple[list[float], float]:
    """Walk the rounds of each row; returns the share of rounds in which draft k was accepted, and tokens a pass."""
    taken = np.zeros(depth)
    count = tokens = 0
    for row in lengths.tolist():
        n = first
        while n + depth < len(row):
            a = int(row[n])
            taken[:a] += 1
            count, tokens, n = count + 1, tokens + a + 1, n + a + 1
    return [round(float(v), 3) for v in taken / max(count, 1)], tokens / max(count, 1)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rows', type=int, default=32, help='prompts of each text')
    parser.add_argument('--prompt', type=int, default=128, help='tokens of a prompt')
    parser.add_argument('--length', type=int, default=320, help='tokens of prompt and continuation')
    parser.add_argument('--depth', type=int, default=4, help='drafts of the MTP block a round')
    parser.add_argument('--mtp', type=Path, default=MODELS / 'paceline-default-mtp.gguf', help='GGUF')
    parser.add_argument('--dflash', type=Path, default=MODELS / 'paceline-default-dflash.gguf', help='GGUF')
    args = parser.parse_args()
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    model, mask = load_target(), Tokenizer().mask
    drafters = {'mtp': restore.mtp(args.mtp), 'dflash': restore.dflash(args.dflash)}
    for n, w in drafters.items():
        drafters[n] = {k: t.to(BF) if t.ndim == 2 else t for k, t in w.items()}
    for text in ('heldout-ts', 'heldout-md'):
        ids = np.fromfile(WORK / f'{text}.bin', dtype=np.uint16)
        at = np.linspace(0, len(ids) - args.prompt - 1, args.rows).astype(int)
        prompts = torch.from_numpy(np.stack([ids[s:s + args.prompt] for s in at]).astype(np.int64))
        batch = write_rows(model, prompts, args.length, args.rows, torch.Generator())
        for n, w in drafters.items():
            parts = []
            for i in range(0, args.rows, 4):
                part = {k: v[i:i + 4] if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
                parts.append(mtp_lengths(model, w, part, args.depth) if n == 'mtp' else
                             dflash_lengths(model, w, part, mask))
            by, mean = rounds(torch.cat(parts), batch['from'], args.depth if n == 'mtp' else BLOCK - 1)
            print(f'{text} {n}: tokens a pass {mean:.2f}, accepted by position {by}', flush=True)


if __name__ == '__main__':
    main()
