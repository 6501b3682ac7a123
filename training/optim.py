"""Muon for the blocks' matrices, AdamW for embedding and gains (no files, no data)."""
from __future__ import annotations

import torch

BF = torch.bfloat16


def orthogonalise(g: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration of Muon: nearest semi-orthogonal matrix, roughly, in bf16."""
    x = g.to(BF) if g.shape[0] <= g.shape[1] else g.t().to(BF)
    x = (x / (x.float().norm() + 1e-7)).contiguous()
    for _ in range(steps):
        s = x @ x.t()
        x = 3.4445 * x + (-4.7750 * s + 2.0315 * (s @ s)) @ x
    return (x if g.shape[0] <= g.shape[1] else x.t()).float()


class Muon:
    """Momentum (Nesterov), then orthogonalised; fused matrices are split into parts of equal role."""

    def __init__(self, weights: list[torch.Tensor], splits: list[list[int]], momentum: float = 0.95) -> None:
        self.weights, self.splits, self.momentum = weights, splits, momentum
        self.buf = [torch.zeros_like(w) for w in weights]

    def step(self, i: int, g: torch.Tensor, lr: float, decay: float, momentum: float) -> None:
        """Update the i-th weight (a thread each may call this)."""
        for w, m, parts in [(self.weights[i], self.buf[i], self.splits[i])]:
            m.mul_(momentum).add_(g, alpha=1 - momentum)
            u = g.mul(1 - momentum).add_(m, alpha=momentum)
            w.mul_(1 - lr * decay)
            at = 0
            for n in parts:
                rows = u[at:at + n]
                scale = max(1.0, n / rows.shape[1]) ** 0.5
                w[at:at + n].add_(orthogonalise(rows), alpha=-lr * scale)
                at += n


class AdamW:
    """Plain AdamW."""

    def __init__(self, weights: list[torch.Tensor], betas: tuple[float, float] = (0.9, 0.95)) -> None:
        self.weights, self.betas, self.count = weights, betas, 0
        self.m = [torch.zeros_like(w) for w in weights]
        self.v = [torch.zeros_like(w) for w in weights]

    def step(self, grads: list[torch.Tensor], lrs: list[float], decay: float = 0.0) -> None:
        """One update; lrs has one rate for each weight."""
        self.count += 1
        a, b = self.betas
        for w, g, m, v, lr in zip(self.weights, grads, self.m, self.v, lrs):
            m.mul_(a).add_(g, alpha=1 - a)
            v.mul_(b).addcmul_(g, g, value=1 - b)
            den = (v / (1 - b ** self.count)).sqrt_().add_(1e-9)
            w.mul_(1 - lr * decay).addcdiv_(m, den, value=-lr / (1 - a ** self.count))
