"""Model, forward and hand-written backward of the small qwen3 transformer, in bf16 with float master weights.

Knows nothing of data, optimiser or files. Norm gains inside the blocks are constants (1; q/k norm: QK_GAIN), because a
gain before a matrix is part of the matrix; only the final norm's gain is learnt. Output is tied to the embedding.
"""
from __future__ import annotations

import ctypes
import math
from dataclasses import asdict, dataclass

import torch

from tokenizer import native

BF, F32 = torch.bfloat16, torch.float32
QK_GAIN = 1.2
OPS = native('train_ops.cpp')


@dataclass(frozen=True)
class Config:
    """Sizes of the model (names as in GGUF)."""

    vocab: int = 6144
    dim: int = 256
    layers: int = 7
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    ff: int = 768
    context: int = 2048
    rope_base: float = 10000.0
    eps: float = 1e-6

    def dict(self) -> dict[str, float]:
        """For checkpoints."""
        return asdict(self)


def call(name: str, *args: object) -> None:
    """Call a fused operation: tensors become pointers, ints longs, floats floats, None a null pointer."""
    out: list[object] = []
    for a in args:
        if isinstance(a, torch.Tensor):
            if not a.is_contiguous():
                raise ValueError(f'{name}: a tensor is not contiguous')
            out.append(ctypes.c_void_p(a.data_ptr()))
        elif isinstance(a, int):
            out.append(ctypes.c_long(a))
        elif isinstance(a, float):
            out.append(ctypes.c_float(a))
        else:
            out.append(None)
    getattr(OPS, name)(*out)


_rope: dict[tuple[int, int, float], tuple[torch.Tensor, torch.Tensor]] = {}


def rope(T: int, hd: int, base: float) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin [T, hd/2] of positions 0..T-1."""
    if (T, hd, base) not in _rope:
        freq = base ** (-torch.arange(0, hd, 2, dtype=torch.float64) / hd)
        ang = torch.arange(T, dtype=torch.float64)[:, None] * freq[None, :]
        _rope[T, hd, base] = (ang.cos().float().contiguous(), ang.sin().float().contiguous())
    return _rope[T, hd, base]


class Block:
    """One qwen3 block: weights (float), their bf16 copies and gradients; forward keeps what backward needs."""

    NAMES = ('qkv', 'o', 'gu', 'd')

    def __init__(self, cfg: Config, gen: torch.Generator, share: Block | None = None) -> None:
        c = cfg
        self.cfg: Config = c
        self.saved: tuple = ()
        if share:  # a replica: the same weights, gradients of its own
            self.w, self.b = share.w, share.b
            self.g = {k: torch.zeros_like(v) for k, v in self.w.items()}
            return
        width = (c.heads + 2 * c.kv_heads) * c.head_dim
        def init(rows: int, cols: int, scale: float) -> torch.Tensor:
            return torch.randn(rows, cols, generator=gen) * (scale / math.sqrt(cols))
        self.w = {'qkv': init(width, c.dim, 1.0), 'o': torch.zeros(c.dim, c.heads * c.head_dim),
                  'gu': init(2 * c.ff, c.dim, 1.0), 'd': torch.zeros(c.dim, c.ff)}
        self.b = {k: v.to(BF) for k, v in self.w.items()}
        self.g = {k: torch.zeros_like(v) for k, v in self.w.items()}

    def forward(self, x: torch.Tensor, delta: torch.Tensor | None, B: int, T: int) -> torch.Tensor:
        """x [N, dim] float, changed in place: x += delta, then the block up to (not adding) the FFN's output, which is
        returned in bf16 for the next add."""
        c, b, N = self.cfg, self.b, x.shape[0]
        H, KV, hd = c.heads, c.kv_heads, c.head_dim
        h1, r1 = torch.empty(N, c.dim, dtype=BF), torch.empty(N)
        call('add_norm', x, delta, h1, r1, N, c.dim, c.eps)
        qkv = h1 @ b['qkv'].t()
        q, k, v = (torch.empty(B, n, T, hd, dtype=BF) for n in (H, KV, KV))
        rs = torch.empty(N, H + KV)
        cs, sn = rope(T, hd, c.rope_base)
        call('split_heads', qkv, q, k, v, rs, cs, sn, B, T, H, KV, hd, QK_GAIN, 1 / math.sqrt(hd), c.eps)
        q, k, v = q.view(B * KV, -1, hd), k.view(B * KV, T, hd), v.view(B * KV, T, hd)
        p = torch.bmm(q, k.transpose(1, 2))
        call('softmax_causal', p, p.shape[0] * p.shape[1], T, T, 0)
        o = torch.bmm(p, v)
        oy = torch.empty(N, H * hd, dtype=BF)
        call('merge_heads', o, oy, B, T, H, hd)
        a = oy @ b['o'].t()
        h2, r2 = torch.empty(N, c.dim, dtype=BF), torch.empty(N)
        call('add_norm', x, a, h2, r2, N, c.dim, c.eps)
        gu = h2 @ b['gu'].t()
        y = torch.empty(N, c.ff, dtype=BF)
        call('swiglu', gu, y, N, c.ff)
        self.saved = (h1, r1, qkv, q, k, v, rs, p, oy, h2, r2, gu, y, B, T)
        return y @ b['d'].t()

    def add(self, name: str, dy: torch.Tensor, x: torch.Tensor) -> None:
        """Accumulate a weight's gradient."""
        self.g[name].add_(dy.t() @ x)

    def backward(self, dx: torch.Tensor, db: torch.Tensor) -> None:
        """dx [N, dim] float is the gradient of the block's output stream, db its bf16 copy; both become the input's."""
        c, b = self.cfg, self.b
        h1, r1, qkv, q, k, v, rs, p, oy, h2, r2, gu, y, B, T = self.saved
        N, H, KV, hd = dx.shape[0], c.heads, c.kv_heads, c.head_dim
        dy = db @ b['d']
        self.add('d', db, y)
        dgu = torch.empty_like(gu)
        call('swiglu_back', gu, dy, dgu, N, c.ff)
        self.add('gu', dgu, h2)
        call('norm_back', dgu @ b['gu'], h2, r2, dx, db, N, c.dim)
        doy = db @ b['o']
        self.add('o', db, oy)
        do = torch.empty(B * KV, (H // KV) * T, hd, dtype=BF)
        call('unmerge_heads', doy, do, B, T, H, hd)
        dv = torch.bmm(p.transpose(1, 2), do)
        ds = torch.bmm(do, v.transpose(1, 2))
        call('softmax_back', p, ds, p.shape[0] * p.shape[1], T, T, 0)
        dq = torch.bmm(ds, k)
        dk = torch.bmm(ds.transpose(1, 2), q)
        dqkv = torch.empty_like(qkv)
        cs, sn = rope(T, hd, c.rope_base)
        call('split_heads_back', qkv, dq, dk, dv, rs, cs, sn, dqkv, B, T, H, KV, hd, QK_GAIN, 1 / math.sqrt(hd))
        self.add('qkv', dqkv, h1)
        call('norm_back', dqkv @ b['qkv'], h1, r1, dx, db, N, c.dim)
        self.saved = ()


class Model:
    """The trunk, the tied embedding and the loss."""

    def __init__(self, cfg: Config, seed: int = 1, share: Model | None = None) -> None:
        gen = torch.Generator().manual_seed(seed)
        self.cfg = cfg
        if share:
            self.emb, self.emb_b, self.norm = share.emb, share.emb_b, share.norm
            self.blocks = [Block(cfg, gen, b) for b in share.blocks]
            self.g_emb, self.g_norm = torch.zeros_like(self.emb), torch.zeros(cfg.dim)
            return
        # The embedding is tied: large rows, so that a token's own row counts in the stream beside the layers' outputs
        # (about 1 each), and a small final gain, so that the logits begin near 0.
        self.emb = torch.randn(cfg.vocab, cfg.dim, generator=gen) * 0.25
        self.norm = torch.full((cfg.dim,), 0.08)
        self.blocks = [Block(cfg, gen) for _ in range(cfg.layers)]
        self.emb_b, self.g_emb, self.g_norm = self.emb.to(BF), torch.zeros_like(self.emb), torch.zeros(cfg.dim)

    def params(self) -> int:
        """Number of parameters."""
        return self.emb.numel() + self.norm.numel() + sum(w.numel() for b in self.blocks for w in b.w.values())

    def trunk(self, ids: torch.Tensor, taps: list[int] | None = None
              ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """ids [B, T] to the normalised final rows (bf16, no gain), 1/rms, and copies of the stream after the layers
        in taps (0-based), before the final norm."""
        B, T = ids.shape
        N = B * T
        x, delta = torch.empty(N, self.cfg.dim), None
        call('gather', self.emb, ids.contiguous(), x, N, self.cfg.dim)
        kept = []
        for i, block in enumerate(self.blocks):
            delta = block.forward(x, delta, B, T)
            if taps and i in taps:
                kept.append(x + delta.float())
        h, r = torch.empty(N, self.cfg.dim, dtype=BF), torch.empty(N)
        call('add_norm', x, delta, h, r, N, self.cfg.dim, self.cfg.eps)
        return h, r, kept

    def step(self, ids: torch.Tensor, labels: torch.Tensor, weight: float = 1.0, zreg: float = 0.0, train: bool = True,
             chunk: int = 1024) -> float:
        """Mean cross entropy of ids [B, T] against labels; with train, gradients times weight are accumulated."""
        B, T = ids.shape
        N, D = B * T, self.cfg.dim
        h, r, _ = self.trunk(ids)
        hn = (h.float() * self.norm).to(BF)
        flat, loss, hit = labels.reshape(-1).contiguous(), torch.empty(N), torch.empty(N, dtype=torch.uint8)
        dhn = torch.empty_like(hn)
        for i in range(0, N, chunk):
            part = hn[i:i + chunk]
            logits = part @ self.emb_b.t()
            n = part.shape[0]
            call('cross_entropy', logits, flat[i:i + n], None, loss[i:i + n], hit[i:i + n], n, self.cfg.vocab,
                 weight / N, zreg)
            if train:
                torch.mm(logits, self.emb_b, out=dhn[i:i + n])
                self.g_emb.add_(logits.t() @ part)
        if train:
            self.back(dhn, h, r, ids)
        else:
            self.forget()
        return float(loss.mean())

    def forget(self) -> None:
        """Throw away what forward kept for backward."""
        for block in self.blocks:
            block.saved = ()

    def back(self, dhn: torch.Tensor, h: torch.Tensor, r: torch.Tensor, ids: torch.Tensor) -> None:
        """Backward from the gradient of the final (gained) rows."""
        N, D = h.shape
        g = dhn.float()
        self.g_norm.add_((g * h.float()).sum(0))
        dx, db = torch.zeros(N, D), torch.empty(N, D, dtype=BF)
        call('norm_back', (g * self.norm).to(BF), h, r, dx, db, N, D)
        for block in reversed(self.blocks):
            block.backward(dx, db)
        call('scatter_add', self.g_emb, ids.contiguous(), dx, N, D)

    def grads(self) -> list[torch.Tensor]:
        """Gradients: each block's in NAMES order, then embedding and final gain."""
        return [b.g[k] for b in self.blocks for k in b.NAMES] + [self.g_emb, self.g_norm]

    def zero(self) -> None:
        """Clear gradients."""
        for g in self.grads():
            g.zero_()

    def refresh(self) -> None:
        """Make the bf16 copies follow the master weights."""
        self.emb_b.copy_(self.emb)
        for block in self.blocks:
            for k, w in block.w.items():
                block.b[k].copy_(w)

    def state(self) -> dict[str, torch.Tensor]:
        """Weights by name."""
        out = {'emb': self.emb, 'norm': self.norm}
        for i, block in enumerate(self.blocks):
            out.update({f'blk.{i}.{k}': w for k, w in block.w.items()})
        return out

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Take weights by name."""
        for k, w in self.state().items():
            w.copy_(state[k])
        self.refresh()


def reference_loss(model: Model, ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The same loss by plain float autograd, for checking; returns loss and the leaf weights (with .grad to come)."""
    c = model.cfg
    leaf = {k: v.clone().requires_grad_() for k, v in model.state().items()}
    B, T = ids.shape
    def rms(z: torch.Tensor) -> torch.Tensor:
        return z * torch.rsqrt(z.pow(2).mean(-1, keepdim=True) + c.eps)
    cs, sn = rope(T, c.head_dim, c.rope_base)
    def rot(z: torch.Tensor) -> torch.Tensor:
        a, b = z.chunk(2, -1)
        return torch.cat([a * cs - b * sn, a * sn + b * cs], -1)
    x = leaf['emb'][ids]
    bias = torch.full((T, T), -1e30).triu(1)
    for i in range(c.layers):
        q, k, v = (rms(x) @ leaf[f'blk.{i}.qkv'].t()).view(B, T, -1, c.head_dim).transpose(1, 2).split(
            [c.heads, c.kv_heads, c.kv_heads], 1)
        q, k = rot(rms(q) * QK_GAIN), rot(rms(k) * QK_GAIN)
        k, v = (z.repeat_interleave(c.heads // c.kv_heads, 1) for z in (k, v))
        o = (q @ k.transpose(2, 3) / math.sqrt(c.head_dim) + bias).softmax(-1) @ v
        x = x + o.transpose(1, 2).reshape(B, T, -1) @ leaf[f'blk.{i}.o'].t()
        g, u = (rms(x) @ leaf[f'blk.{i}.gu'].t()).chunk(2, -1)
        x = x + (torch.nn.functional.silu(g) * u) @ leaf[f'blk.{i}.d'].t()
    logits = (rms(x) * leaf['norm']) @ leaf['emb'].t()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()), leaf
