"""Compare core.py's hand-written gradients with float autograd on a small random model. Exits 1 on a difference."""
from __future__ import annotations

import torch

from core import Config, Model, reference_loss


def main() -> None:
    """Print the relative error of the loss and of every gradient (bf16: a few percent is right)."""
    model = Model(Config(vocab=512, layers=2))
    gen = torch.Generator().manual_seed(3)
    for k, w in model.state().items():
        w.add_(torch.randn(w.shape, generator=gen) * (0.3 if k == 'norm' else 0.05))
    model.refresh()
    ids = torch.randint(0, 512, (3, 64), generator=gen)
    labels = torch.randint(0, 512, (3, 64), generator=gen)
    loss = model.step(ids, labels, weight=1.0)
    want, leaf = reference_loss(model, ids, labels)
    want.backward()
    got = {'emb': model.g_emb, 'norm': model.g_norm}
    for i, block in enumerate(model.blocks):
        got.update({f'blk.{i}.{k}': g for k, g in block.g.items()})
    worst = 0.0
    print(f'loss {loss:.5f} autograd {float(want):.5f}')
    for k, g in got.items():
        err = float((g - leaf[k].grad).norm() / leaf[k].grad.norm())
        worst = max(worst, err)
        print(f'{k:12s} relative error {err:.4f}')
    raise SystemExit(0 if worst < 0.06 and abs(loss - float(want)) < 0.02 else 1)


if __name__ == '__main__':
    main()
