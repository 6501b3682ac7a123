"""What the drafters' recipes share: the frozen target, differentiable pieces, worker threads, records of own text.

Drafters use plain autograd in bf16 (they are small); their matrices are trained with Muon, their one gain with AdamW.
"""
from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as nn

import restore
from clock import Clock
from core import BF, QK_GAIN, Config, Model, call, rope
from data import WORK
from optim import AdamW, Muon

SHIPPED = Path(__file__).resolve().parent.parent / 'models' / 'default' / 'paceline-default.gguf'
TAPS = (2, 4, 6)  # 0-based layers whose output the DFlash draft model reads (GGUF says 3, 5, 7)
Weights = dict[str, torch.Tensor]
Batch = dict[str, torch.Tensor]


def load_target(path: Path = WORK / 'target.pt') -> Model:
    """The frozen target: the checkpoint, or the shipped file where there is none."""
    if path.exists():
        ck = torch.load(path, map_location='cpu')
        cfg, state = Config(**ck['cfg']), ck['model']
    else:
        cfg, state = restore.target(SHIPPED)
    model = Model(cfg)
    model.load(state)
    return model


def rms(x: torch.Tensor, eps: float = 1e-6) -> torch.Tensor:
    """RMS norm over the last axis without a gain, in float."""
    x = x.float()
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


def rotate(x: torch.Tensor, cs: torch.Tensor, sn: torch.Tensor) -> torch.Tensor:
    """NEOX rotation of the last axis."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cs - b * sn, a * sn + b * cs], -1)


def heads(c: Config, x: torch.Tensor, n: int, pos: torch.Tensor | None) -> torch.Tensor:
    """[B, R, n*hd] to [B, n, R, hd] in bf16; with positions (at [B, R] or [R]) also normalised and rotated."""
    B, R, _ = x.shape
    x = x.view(B, R, n, c.head_dim)
    if pos is not None:
        cs, sn = rope(c.context, c.head_dim, c.rope_base)
        cs, sn = cs[pos].unsqueeze(-2), sn[pos].unsqueeze(-2)
        x = rotate(rms(x) * QK_GAIN, cs, sn).to(BF)
    return x.transpose(1, 2)


def ffn(w: Weights, x: torch.Tensor) -> torch.Tensor:
    """x plus its SwiGLU."""
    g, u = nn.linear(rms(x).to(BF), w['gu']).chunk(2, -1)
    return x + nn.linear(nn.silu(g) * u, w['d']).float()


class _Loss(torch.autograd.Function):
    """Weighted cross entropy through the target's frozen head (fused gradient)."""

    @staticmethod
    def forward(ctx, rows: torch.Tensor, head: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor,
                hits: torch.Tensor) -> torch.Tensor:
        logits = rows @ head.t()
        n = rows.shape[0]
        loss = torch.empty(n)
        call('cross_entropy', logits, labels.contiguous(), weight.contiguous(), loss, hits, n, head.shape[0], 1.0, 0.0)
        ctx.save_for_backward(logits @ head)
        return (loss * weight).sum()

    @staticmethod
    def backward(ctx, grad: torch.Tensor):
        (d,) = ctx.saved_tensors
        return d * grad.to(d.dtype), None, None, None, None


def head_loss(rows: torch.Tensor, head: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor
              ) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of weighted cross entropies and whether each row's argmax was right."""
    hits = torch.empty(rows.shape[0], dtype=torch.uint8)
    return _Loss.apply(rows.to(BF), head, labels, weight, hits), hits


def records(batch: int, seed: int) -> Iterator[Batch]:
    """Endless batches of own text with the target's features: ids [B,T], h [B,T,D] (post norm, with gain), taps
    [B,T,F*D], from (the first token the target wrote itself)."""
    names = sorted(WORK.glob('own-*.pt'))
    if not names:
        raise SystemExit('no own text: run train_generate.py first')
    parts = [torch.load(n) for n in names]
    rng, order = np.random.default_rng(seed), []
    while True:
        if len(order) < batch:
            order += [(i, j) for i, p in enumerate(parts) for j in range(len(p['ids']))]
            rng.shuffle(order)
        i = order[0][0]
        rows = [j for k, j in order if k == i][:batch]
        taken = {(i, j) for j in rows}
        order = [o for o in order if o not in taken]
        p = parts[i]
        yield {k: p[k][rows] for k in ('ids', 'h', 'taps')} | {'from': p['from']}


@dataclass
class Recipe:
    """How long and how fast."""

    minutes: float
    threads: int = 2
    lr: float = 0.01
    accumulate: int = 2
    warm: int = 20


def fit(weights: Weights, splits: dict[str, list[int]], loss: Callable[[Weights, Batch], tuple[torch.Tensor, str]],
        data: Iterator[Batch], r: Recipe) -> None:
    """Train weights in place for some minutes of work (see clock.py); the rate falls to zero at their end."""
    names = [k for k, w in weights.items() if w.ndim == 2]
    gains = [k for k in weights if weights[k].ndim == 1]
    muon = Muon([weights[k] for k in names], [splits.get(k, [weights[k].shape[0]]) for k in names])
    adam = AdamW([weights[k] for k in gains])
    pool = ThreadPoolExecutor(r.threads)
    clock, shown, step = Clock(), 0.0, 0

    def one(batch: Batch) -> tuple[list[torch.Tensor], str]:
        leaf = {k: (w.to(BF) if w.ndim == 2 else w.clone()).requires_grad_() for k, w in weights.items()}
        value, text = loss(leaf, batch)
        return [g.float() for g in torch.autograd.grad(value, list(leaf.values()))], text

    while (share := clock.spent / (60 * r.minutes)) < 1:
        done = list(pool.map(one, [next(data) for _ in range(r.accumulate)]))
        grads = dict(zip(weights, (sum(g) / r.accumulate for g in zip(*(d[0] for d in done)))))
        lr = min(1.0, (step + 1) / r.warm) * min(1.0, (1 - share) / 0.8)
        with torch.no_grad():
            jobs = [pool.submit(muon_step, muon, i, grads[k], r.lr * lr) for i, k in enumerate(names)]
            adam.step([grads[k] for k in gains], [0.002 * lr] * len(gains))
            for job in jobs:
                job.result()
        step += 1
        clock.step()
        if clock.spent - shown > 15:
            shown = clock.spent
            print(f'{100 * share:5.1f}% step {step} {done[0][1]}', flush=True)
    print(f'{step} steps')


def muon_step(muon: Muon, i: int, grad: torch.Tensor, lr: float) -> None:
    """One weight's update without autograd (its switch is per thread)."""
    with torch.no_grad():
        muon.step(i, grad, lr, 0.0, 0.95)


def attend(scores: torch.Tensor, c: Config) -> torch.Tensor:
    """Softmax of scaled scores in float, back in bf16."""
    return (scores.float() / math.sqrt(c.head_dim)).softmax(-1).to(BF)
