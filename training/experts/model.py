"""A small mixture of experts of GGUF's architecture `deepseek`, and the two ways to train its router.

Plain: tokens choose among all experts. EMO (arXiv 2605.06663): all tokens of a document choose within one pool, the
experts that the document as a whole rates best; the pool's size is drawn anew for each document, layer and step.
Both have the same load balance, over the whole batch, and the same weights' sizes. Matrices are multiplied in bf16, the
residual stream, the router and the loss are float32. Norms inside the blocks have gain 1, since a gain before a matrix is
part of the matrix. Knows nothing of data, optimiser or files.
"""
from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F

BF = torch.bfloat16
ALIGN = 32  # rows of an expert are filled up to a multiple of it: few different shapes, whose kernels are then cached


@dataclass(frozen=True)
class Config:
    """Sizes of the model."""

    vocab: int = 2048
    dim: int = 128
    layers: int = 4
    heads: int = 2
    experts: int = 64  # routed ones; one more is shared by all tokens
    used: int = 4
    ff: int = 96
    context: int = 256
    rope_base: float = 10000.0
    eps: float = 1e-6

    def dict(self) -> dict[str, float]:
        """For checkpoints."""
        return asdict(self)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight's shape; matrices are [out, in], experts' [expert, out, in] with the gate's rows before up's."""
        d, f = self.dim, self.ff
        out: dict[str, tuple[int, ...]] = {'emb': (self.vocab, d), 'norm': (d,), 'head': (self.vocab, d)}
        for i in range(self.layers):
            out.update({f'{i}.qkv': (3 * d, d), f'{i}.o': (d, d), f'{i}.router': (self.experts, d),
                        f'{i}.gu': (self.experts, 2 * f, d), f'{i}.down': (self.experts, d, f),
                        f'{i}.shared_gu': (2 * f, d), f'{i}.shared_down': (d, f)})
        return out


class Weights:
    """All weights as one flat float32 vector with views by name; matrices also as bf16 leaves, which get the gradients."""

    def __init__(self, cfg: Config, seed: int = 1) -> None:
        self.cfg = cfg
        self.shapes = cfg.shapes()
        self.flat = torch.empty(sum(math.prod(s) for s in self.shapes.values()))
        self.views = dict(zip(self.shapes, self.split(self.flat)))
        gen = torch.Generator().manual_seed(seed)
        for name, view in self.views.items():
            kind = name.split('.')[-1]
            if kind == 'norm':
                view.fill_(1.0)
                continue
            std = 0.02 if kind == 'emb' else 0.1 if kind == 'router' else view.shape[-1] ** -0.5
            if kind in ('o', 'down', 'shared_down'):
                std /= math.sqrt(2 * cfg.layers)
            view.copy_(torch.randn(view.shape, generator=gen) * (1.0 if kind == 'emb' else std))
        self.leaves = {n: (v.clone() if self.exact(n) else v.to(BF)).requires_grad_() for n, v in self.views.items()}

    @staticmethod
    def exact(name: str) -> bool:
        """Whether a weight is computed with in float32."""
        return name in ('emb', 'norm') or name.endswith('router')

    def split(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """Views of a flat vector in the weights' shapes."""
        parts = flat.split([math.prod(s) for s in self.shapes.values()])
        return [p.view(s) for p, s in zip(parts, self.shapes.values())]

    def refresh(self) -> None:
        """Bring the leaves up to date after the flat vector changed."""
        with torch.no_grad():
            for name, leaf in self.leaves.items():
                leaf.copy_(self.views[name])

    def gradient(self, into: torch.Tensor) -> None:
        """Gather the leaves' gradients as one flat vector, and clear them."""
        for leaf, part in zip(self.leaves.values(), self.split(into)):
            part.copy_(leaf.grad) if leaf.grad is not None else part.zero_()
            leaf.grad = None


class Experts(torch.autograd.Function):
    """x [N, d] through the chosen experts [N, k], weighted by p [N, k]: rows sorted by expert, a product each."""

    @staticmethod
    def forward(ctx, x, p, chosen, gu, down):  # noqa: ANN001
        N, k = chosen.shape
        E, f2, d = gu.shape
        counts = torch.bincount(chosen.reshape(-1), minlength=E)
        order = torch.argsort(chosen.reshape(-1), stable=True)
        room = (counts + ALIGN - 1) // ALIGN * ALIGN
        shift = (room.cumsum(0) - room) - (counts.cumsum(0) - counts)
        place = torch.empty_like(order)
        place[order] = torch.arange(N * k) + shift.repeat_interleave(counts)  # where each choice's row lies
        ends = room.cumsum(0).tolist()
        rows = [(e, b - n, b) for e, (n, b) in enumerate(zip(room.tolist(), ends)) if n]
        xs = torch.zeros(ends[-1], d, dtype=BF)
        xs[place] = x.repeat_interleave(k, 0)
        h, y = torch.empty(ends[-1], f2, dtype=BF), torch.empty(ends[-1], d, dtype=BF)
        for e, a, b in rows:
            torch.mm(xs[a:b], gu[e].t(), out=h[a:b])
        act = F.silu(h[:, :f2 // 2]) * h[:, f2 // 2:]
        for e, a, b in rows:
            torch.mm(act[a:b], down[e].t(), out=y[a:b])
        picked = y[place].view(N, k, d)
        ctx.save_for_backward(p, place, xs, h, act, picked, gu, down)
        ctx.rows = rows
        return (picked * p[..., None]).sum(1)

    @staticmethod
    def backward(ctx, dout):  # noqa: ANN001
        p, place, xs, h, act, picked, gu, down = ctx.saved_tensors
        N, k, d = picked.shape
        f = act.shape[1]
        dp = (picked * dout[:, None]).sum(-1)
        dy = torch.zeros_like(xs)
        dy[place] = (dout[:, None] * p[..., None]).to(BF).view(N * k, d)
        dact, dgu, ddown = torch.empty_like(act), torch.zeros_like(gu), torch.zeros_like(down)
        for e, a, b in ctx.rows:
            torch.mm(dy[a:b], down[e], out=dact[a:b])
            torch.mm(dy[a:b].t(), act[a:b], out=ddown[e])
        gate, up = h[:, :f], h[:, f:]
        s = torch.sigmoid(gate)
        dh = torch.cat([dact * up * (s * (1 + gate * (1 - s))), dact * (gate * s)], 1)
        dx = torch.empty_like(xs)
        for e, a, b in ctx.rows:
            torch.mm(dh[a:b], gu[e], out=dx[a:b])
            torch.mm(dh[a:b].t(), xs[a:b], out=dgu[e])
        return dx[place].view(N, k, d).float().sum(1), dp, None, dgu, ddown


@dataclass
class Batch:
    """Rows of whole documents' pieces: ids and labels [B, T] (-100: none), and the number of each token's document in the batch."""

    ids: torch.Tensor
    labels: torch.Tensor
    document: torch.Tensor
    documents: int


def pooled(z: torch.Tensor, document: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Logits [N, E] with those outside each document's pool at -inf: the `sizes[D]` experts of which the document's
    tokens together, later ones too, have the largest sum of probabilities."""
    with torch.no_grad():
        score = torch.zeros(len(sizes), z.shape[1]).index_add_(0, document, torch.softmax(z, -1))
        rank = torch.argsort(torch.argsort(score, dim=1, descending=True, stable=True), dim=1)
        out = (rank >= sizes[:, None])[document]
    return z.masked_fill(out, -math.inf)


class Mixture:
    """Forward pass and loss."""

    def __init__(self, cfg: Config, emo: bool, seed: int = 1) -> None:
        self.cfg, self.emo = cfg, emo
        self.weights = Weights(cfg, seed)
        freq = cfg.rope_base ** (-torch.arange(0, cfg.dim // cfg.heads, 2, dtype=torch.float64) * cfg.heads / cfg.dim)
        angle = torch.arange(cfg.context, dtype=torch.float64)[:, None] * freq
        self.cos, self.sin = angle.cos().float(), angle.sin().float()

    def rotate(self, x: torch.Tensor) -> torch.Tensor:
        """Rotary positions of neighbouring pairs; x [B, T, heads, length]."""
        T = x.shape[1]
        cos, sin = self.cos[:T, None], self.sin[:T, None]
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)

    def attention(self, h: torch.Tensor, i: int, bias: torch.Tensor) -> torch.Tensor:
        """h [B, T, d] in bf16, bias [B * heads, T, T]."""
        B, T, d = h.shape
        H, w = self.cfg.heads, self.weights.leaves
        q, k, v = (h @ w[f'{i}.qkv'].t()).view(B, T, 3, H, d // H).unbind(2)
        q, k = self.rotate(q).to(BF), self.rotate(k).to(BF)
        q, k, v = (t.transpose(1, 2).reshape(B * H, T, d // H) for t in (q, k, v))
        p = torch.softmax(torch.baddbmm(bias, q, k.transpose(1, 2), alpha=(d // H) ** -0.5), -1)
        return torch.bmm(p, v).view(B, H, T, d // H).transpose(1, 2).reshape(B, T, d) @ w[f'{i}.o'].t()

    def route(self, h: torch.Tensor, i: int, batch: Batch, gen: torch.Generator | None):  # noqa: ANN201
        """Weights and numbers of the chosen experts [N, used], load balance (1 where even), mean squared logsumexp,
        tokens of each expert."""
        c = self.cfg
        z = h @ self.weights.leaves[f'{i}.router'].t()
        if self.emo and gen is not None:
            sizes = torch.randint(c.used, c.experts + 1, (batch.documents,), generator=gen)
            z = pooled(z, batch.document.reshape(-1), sizes)
        p = torch.softmax(z, -1)
        weight, chosen = torch.topk(p, c.used, -1)
        load = torch.bincount(chosen.reshape(-1), minlength=c.experts)
        balance = c.experts / c.used * (load / len(h) * p.mean(0)).sum()
        return weight, chosen, balance, torch.logsumexp(z, -1).square().mean(), load

    def forward(self, batch: Batch, gen: torch.Generator | None):  # noqa: ANN201
        """Logits [N, vocab] in bf16; the sums of the layers' balance and z terms; loads. No generator: no pools."""
        c, w = self.cfg, self.weights.leaves
        B, T = batch.ids.shape
        same = batch.document[:, :, None] == batch.document[:, None, :]
        seen = same & torch.ones(T, T, dtype=torch.bool).tril()
        bias = torch.zeros(B, T, T, dtype=BF).masked_fill_(~seen, -math.inf).repeat_interleave(c.heads, 0)
        norm = lambda t: t * torch.rsqrt(t.square().mean(-1, keepdim=True) + c.eps)  # noqa: E731
        x = F.embedding(batch.ids, w['emb'])
        balance, z2, loads = torch.zeros(()), torch.zeros(()), []
        for i in range(c.layers):
            x = x + self.attention(norm(x).to(BF), i, bias)
            exact = norm(x).view(B * T, c.dim)
            h = exact.to(BF)
            weight, chosen, lb, zz, load = self.route(exact, i, batch, gen)
            gate, up = (h @ w[f'{i}.shared_gu'].t()).chunk(2, -1)
            shared = (F.silu(gate) * up) @ w[f'{i}.shared_down'].t()
            mixed = Experts.apply(h, weight, chosen, w[f'{i}.gu'], w[f'{i}.down'])
            x = x + (mixed + shared).view(B, T, c.dim)
            balance, z2 = balance + lb, z2 + zz
            loads.append(load)
        y = (norm(x) * w['norm']).to(BF).view(B * T, c.dim)
        return y @ w['head'].t(), balance / c.layers, z2 / c.layers, loads

    def step(self, batch: Batch, gen: torch.Generator, into: torch.Tensor) -> tuple[float, float, float]:
        """Loss in nats a token, the load balance, and the busiest expert's load over the mean; the gradient of it all."""
        logits, balance, z2, loads = self.forward(batch, gen)
        loss = F.cross_entropy(logits.float(), batch.labels.reshape(-1))
        (loss + 0.1 * balance + 1e-3 * z2).backward()
        self.weights.gradient(into)
        busiest = max(float(n.max() / n.float().mean()) for n in loads)
        return float(loss), float(balance), busiest
