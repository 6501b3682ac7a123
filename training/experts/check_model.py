"""Check model.py against plain code: the experts' products and gradients, and the pools."""
from __future__ import annotations

import math

import torch
from model import Experts, pooled


def plain_experts(x, p, chosen, gu, down):  # noqa: ANN001, ANN201
    """One token and one choice at a time."""
    out = []
    for n in range(len(x)):
        total = torch.zeros(x.shape[1], dtype=x.dtype)
        for j, e in enumerate(chosen[n].tolist()):
            gate, up = (gu[e] @ x[n]).chunk(2)
            total = total + p[n, j] * (down[e] @ (torch.nn.functional.silu(gate) * up))
        out.append(total)
    return torch.stack(out)


def check_experts() -> None:
    """Values and gradients agree as far as bf16 goes."""
    gen = torch.Generator().manual_seed(5)
    N, k, E, d, f = 150, 3, 9, 32, 24
    make = lambda *shape: torch.randn(*shape, generator=gen)  # noqa: E731
    exact = [make(N, d), torch.rand(N, k, generator=gen), make(E, 2 * f, d) * d ** -0.5, make(E, d, f) * f ** -0.5]
    rounded = [t if at == 1 else t.to(torch.bfloat16) for at, t in enumerate(exact)]
    exact = [t.double().requires_grad_() for t in rounded]
    rounded = [t.requires_grad_() for t in rounded]
    chosen = torch.stack([torch.randperm(E - 1, generator=gen)[:k] for _ in range(N)])  # the last expert has no rows
    weight = make(N, d)
    want = plain_experts(exact[0], exact[1], chosen, exact[2], exact[3])
    got = Experts.apply(rounded[0], rounded[1], chosen, rounded[2], rounded[3])
    (want * weight).sum().backward()
    (got * weight).sum().backward()
    pairs = [('output', want, got)] + [(n, a.grad, b.grad) for n, a, b in zip(('x', 'p', 'gate, up', 'down'), exact, rounded)]
    for name, a, b in pairs:
        error = float((a - b.double()).norm() / a.norm())
        print(f'{name}: relative difference {error:.4f}')
        assert error < 0.01, name


def check_pools() -> None:
    """Of each document the experts with the largest sums stay; the others' logits are -inf for all its tokens."""
    gen = torch.Generator().manual_seed(6)
    z = torch.randn(40, 7, generator=gen)
    document = torch.sort(torch.randint(0, 3, (40,), generator=gen))[0]
    sizes = torch.tensor([2, 7, 4])
    got = pooled(z, document, sizes)
    for doc, size in enumerate(sizes.tolist()):
        rows = [n for n in range(40) if document[n] == doc]
        score = [sum(math.exp(float(z[n, e])) / sum(math.exp(float(v)) for v in z[n]) for n in rows) for e in range(7)]
        best = sorted(range(7), key=lambda e: -score[e])[:size]
        for n in rows:
            assert [e for e in range(7) if got[n, e] > -math.inf] == sorted(best)
            assert torch.equal(got[n, sorted(best)], z[n, sorted(best)])
    print('pools: as told')


if __name__ == '__main__':
    check_experts()
    check_pools()
