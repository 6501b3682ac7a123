"""Let the frozen target write its own continuations of training text, and keep its features: drafters learn from them.

Writes work/own-<i>.pt (torch files): ids [N,T] int64, h [N,T,D] bf16 rows after the final norm, taps [N,T,F*D] bf16,
from (tokens of prompt). Three quarters of the rows are greedy, the others sampled at temperature 0.8.
"""
from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import time

import numpy as np
import torch

from core import BF, QK_GAIN, Model, rope
from data import WORK
from drafting import TAPS, load_target, rms, rotate


class Decoder:
    """Batched decoding with a KV cache, all rows at the same position."""

    def __init__(self, model: Model, total: int) -> None:
        self.m, self.total, self.at = model, total, 0
        self.k: list[torch.Tensor] = []
        self.v: list[torch.Tensor] = []

    def prefill(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run prompts [B, T]; returns final rows (gained, bf16) [B,T,D] and taps [B,T,F*D]."""
        c, (B, T) = self.m.cfg, ids.shape
        h, _, taps = self.m.trunk(ids, list(TAPS))
        for block in self.m.blocks:
            k, v = block.saved[4], block.saved[5]
            for cache, now in ((self.k, k), (self.v, v)):
                room = torch.zeros(B * c.kv_heads, self.total, c.head_dim, dtype=BF)
                room[:, :T] = now
                cache.append(room)
            block.saved = ()
        self.at = T
        return (h.float() * self.m.norm).to(BF).view(B, T, -1), torch.cat(taps, -1).to(BF).view(B, T, -1)

    def step(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run one token of each row [B]; returns final rows [B,D] and taps [B,F*D]."""
        c, B, t = self.m.cfg, len(ids), self.at
        H, KV, hd = c.heads, c.kv_heads, c.head_dim
        cs, sn = rope(c.context, hd, c.rope_base)
        x, taps = self.m.emb[ids], []
        for i, block in enumerate(self.m.blocks):
            w = block.b
            qkv = (rms(x).to(BF) @ w['qkv'].t()).view(B, H + 2 * KV, hd)
            qk = rotate(rms(qkv[:, :H + KV]) * QK_GAIN, cs[t], sn[t]).to(BF)
            self.k[i][:, t] = qk[:, H:].reshape(B * KV, hd)
            self.v[i][:, t] = qkv[:, H + KV:].reshape(B * KV, hd)
            q = qk[:, :H].reshape(B * KV, H // KV, hd)
            p = (torch.bmm(q, self.k[i][:, :t + 1].transpose(1, 2)).float() / math.sqrt(hd)).softmax(-1).to(BF)
            o = torch.bmm(p, self.v[i][:, :t + 1]).view(B, H * hd)
            x = x + (o @ w['o'].t()).float()
            g, u = (rms(x).to(BF) @ w['gu'].t()).chunk(2, -1)
            x = x + ((torch.nn.functional.silu(g) * u) @ w['d'].t()).float()
            if i in TAPS:
                taps.append(x)
        self.at += 1
        return (rms(x) * self.m.norm).to(BF), torch.cat(taps, -1).to(BF)


def write_rows(model: Model, prompts: torch.Tensor, length: int, greedy: int, gen: torch.Generator
               ) -> dict[str, torch.Tensor | int]:
    """Continue prompts [B, P] to length tokens; the first `greedy` rows greedily."""
    P = prompts.shape[1]
    dec = Decoder(model, length)
    h, taps = dec.prefill(prompts)
    ids, hs, ts = [prompts], [h], [taps]
    last = h[:, -1]
    while dec.at <= length - 1:
        logits = (last @ model.emb_b.t()).float()
        nxt = logits.argmax(-1)
        if greedy < len(nxt):
            nxt[greedy:] = torch.multinomial((logits[greedy:] / 0.8).softmax(-1), 1, generator=gen)[:, 0]
        last, tap = dec.step(nxt)
        ids.append(nxt[:, None])
        hs.append(last[:, None])
        ts.append(tap[:, None])
    return {'ids': torch.cat(ids, 1), 'h': torch.cat(hs, 1), 'taps': torch.cat(ts, 1), 'from': P}


def work(args: argparse.Namespace, worker: int) -> None:
    """Write every workers-th part, one at least, until the time is over (of the core, so that a pause costs nothing)."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    model, start = load_target(), time.process_time()
    ids = np.fromfile(WORK / 'train.bin', dtype=np.uint16)
    made = 0
    for part in range(worker, args.parts, args.workers):
        if made and time.process_time() - start > 60 * args.minutes:
            break
        rng = np.random.default_rng([11, part])
        at = rng.integers(0, len(ids) - args.prompt, args.rows)
        prompts = torch.from_numpy(np.stack([ids[s:s + args.prompt] for s in at]).astype(np.int64))
        out = write_rows(model, prompts, args.length, args.rows * 3 // 4, torch.Generator().manual_seed(part))
        tmp = WORK / f'own-{worker}.tmp'
        torch.save(out, tmp)
        os.replace(tmp, WORK / f'own-{part:03d}.pt')
        made += args.rows * (args.length - args.prompt)
        print(f'part {part}: {made} own tokens, {made / (time.process_time() - start):.0f} a second of a core', flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=5.0, help='start no new part after so much time of a core')
    parser.add_argument('--rows', type=int, default=192, help='rows of a part')
    parser.add_argument('--prompt', type=int, default=128, help='tokens of corpus text that begin a row')
    parser.add_argument('--length', type=int, default=320, help='tokens of a row')
    parser.add_argument('--parts', type=int, default=40, help='at most this many parts')
    parser.add_argument('--workers', type=int, default=2, help='processes, one core each')
    args = parser.parse_args()
    for old in WORK.glob('own-*.pt'):
        old.unlink()
    children = [multiprocessing.Process(target=work, args=(args, i)) for i in range(args.workers)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    if any(child.exitcode for child in children):
        raise SystemExit('a worker failed')


if __name__ == '__main__':
    main()
