"""A block of Qwen3's shape, of which both kinds of drafters are made, in plain PyTorch. Gains are trained, matrices begin small."""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass(frozen=True)
class Shape:
    """Sizes of a block."""

    dim: int
    heads: int
    kv_heads: int
    head_dim: int
    ff: int
    eps: float
    rope_base: float

    def meta(self, arch: str, blocks: int, context: int) -> dict[str, tuple[str, object]]:
        """As GGUF metadata."""
        s = self
        return {f'{arch}.block_count': ('u32', blocks), f'{arch}.context_length': ('u32', context),
                f'{arch}.embedding_length': ('u32', s.dim), f'{arch}.feed_forward_length': ('u32', s.ff),
                f'{arch}.attention.head_count': ('u32', s.heads), f'{arch}.attention.head_count_kv': ('u32', s.kv_heads),
                f'{arch}.attention.key_length': ('u32', s.head_dim), f'{arch}.attention.value_length': ('u32', s.head_dim),
                f'{arch}.attention.layer_norm_rms_epsilon': ('f32', s.eps), f'{arch}.rope.freq_base': ('f32', s.rope_base),
                f'{arch}.rope.dimension_count': ('u32', s.head_dim)}


class RmsNorm(nn.Module):
    """RMS norm over the last axis, in float, with a gain."""

    def __init__(self, size: int, eps: float, gain: torch.Tensor | None = None):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size) if gain is None else gain.clone()), eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def matrix(out: int, into: int, gain: float = 1.0) -> nn.Linear:
    """Without bias; a row's outputs have about `gain` times the size of its inputs."""
    linear = nn.Linear(into, out, bias=False)
    nn.init.normal_(linear.weight, std=gain / math.sqrt(into))
    return linear


def rotate(x: torch.Tensor, positions: torch.Tensor, base: float) -> torch.Tensor:
    """NEOX rotation of x [..., T, heads, size] by positions [..., T]."""
    half = x.shape[-1] // 2
    angles = positions.float()[..., None] * base ** (-torch.arange(half) / half)  # [..., T, half]
    cos, sin = angles.cos()[..., None, :], angles.sin()[..., None, :]
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class Block(nn.Module):
    """Attention with normalised queries and keys, and SwiGLU. What is attended to is the caller's affair."""

    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.attn_norm, self.ffn_norm = RmsNorm(s.dim, s.eps), RmsNorm(s.dim, s.eps)
        self.q_norm, self.k_norm = RmsNorm(s.head_dim, s.eps), RmsNorm(s.head_dim, s.eps)
        self.q, self.o = matrix(s.heads * s.head_dim, s.dim), matrix(s.dim, s.heads * s.head_dim, 0.3)
        self.k, self.v = (matrix(s.kv_heads * s.head_dim, s.dim) for _ in range(2))
        self.gate, self.up, self.down = matrix(s.ff, s.dim), matrix(s.ff, s.dim), matrix(s.dim, s.ff, 0.3)

    def queries(self, h: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """[T, heads, size] of normalised rows h [T, D]."""
        q = self.q(h).view(*h.shape[:-1], self.s.heads, self.s.head_dim)
        return rotate(self.q_norm(q), positions, self.s.rope_base)

    def keys(self, h: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values, [T, heads, size] each: those of a group of heads are repeated."""
        shape, group = (*h.shape[:-1], self.s.kv_heads, self.s.head_dim), self.s.heads // self.s.kv_heads
        k = rotate(self.k_norm(self.k(h).view(shape)), positions, self.s.rope_base)
        return k.repeat_interleave(group, -2), self.v(h).view(shape).float().repeat_interleave(group, -2)

    def rest(self, x: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """The residual stream x after mixed values [T, heads * size] came in, through the network."""
        x = x + self.o(mixed).float()
        h = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h)).float()

    def tensors(self, at: str) -> dict[str, torch.Tensor]:
        """By their names in GGUF files."""
        named = {'attn_norm': self.attn_norm, 'attn_q': self.q, 'attn_k': self.k, 'attn_v': self.v, 'attn_output': self.o,
                 'attn_q_norm': self.q_norm, 'attn_k_norm': self.k_norm, 'ffn_norm': self.ffn_norm, 'ffn_gate': self.gate,
                 'ffn_up': self.up, 'ffn_down': self.down}
        return {f'{at}.{name}.weight': module.weight for name, module in named.items()}


class Head:
    """The target's frozen head, of which a step computes some rows only: all that are frequent in the training text, the
    labels', and a sample of the others, whose logits are raised by what they stand for."""

    def __init__(self, head: torch.Tensor, frequent: torch.Tensor, sampled: int):
        self.head, self.sampled = head, sampled
        rare = torch.ones(len(head), dtype=torch.bool)
        rare[frequent] = False
        self.frequent, self.rare = frequent, rare.nonzero().squeeze(1)

    def loss(self, rows: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Sum of weighted cross entropies of rows [N, D]."""
        n = min(self.sampled, len(self.rare))
        sample = self.rare[torch.randint(len(self.rare), (n,))].unique() if n else self.rare[:0]
        chosen, places = torch.cat([self.frequent, sample, labels]).unique(return_inverse=True)
        raised = torch.zeros(len(chosen))
        if n:
            raised[places[len(self.frequent):len(self.frequent) + len(sample)]] = math.log(len(self.rare) / len(sample))
            raised[places[len(self.frequent) + len(sample):]] = 0.0
        logits = F.linear(rows, self.head[chosen].to(rows.dtype)).float() + raised
        return (F.cross_entropy(logits, places[len(self.frequent) + len(sample):], reduction='none') * weights).sum()

    def guess(self, rows: torch.Tensor) -> torch.Tensor:
        """The likeliest tokens, over the whole vocabulary."""
        return F.linear(rows, self.head.to(rows.dtype)).argmax(-1)
