"""A multi-token prediction block (DeepSeek-V3, arXiv 2412.19437), as src/models/mtp.ts computes it. Row p takes token x_p and
the target's row h_(p-1), and predicts x_(p+1); further guesses take the block's own row in the place of h.

Training repeats the passes of drafting (as EAGLE-3, arXiv 2503.01840): in pass k row p takes the own row of pass k-1 at p-1,
and sees true rows up to p-k+1 and, behind these, the one row that each later pass would have put there.
"""
from __future__ import annotations

import torch
import torch.nn as nn

from blocks import Block, Head, RmsNorm, Shape, matrix
from records import Text

PASSES = 3


class Mtp(nn.Module):
    """Embeddings, output norm and head are the target's, frozen; a norm of its own stands before the head."""

    def __init__(self, s: Shape, target: dict[str, torch.Tensor]):
        super().__init__()
        self.s, self.embedding = s, target['embedding']
        self.enorm, self.hnorm = RmsNorm(s.dim, s.eps), RmsNorm(s.dim, s.eps)
        self.join, self.block = matrix(s.dim, 2 * s.dim), Block(s)
        self.norm = RmsNorm(s.dim, s.eps, target['norm'])

    def passes(self, text: Text, count: int) -> list[torch.Tensor]:
        """Rows that enter the head, [N - 1, D] for each pass: of p = 1 and on, zeros where a pass has no input."""
        ids, n = text.ids[1:], len(text.ids) - 1
        tokens, hidden = self.enorm(self.embedding[ids]), text.hidden[:-1].float()
        positions, rows = torch.arange(1, n + 1), torch.arange(n)
        keys, out = [], []
        for k in range(count):
            joined = self.join(torch.cat([tokens, self.hnorm(hidden)], -1)).float()
            h = self.block.attn_norm(joined)
            q, (key, value) = self.block.queries(h, positions), self.block.keys(h, positions)
            keys.append((key, value))
            scale = self.s.head_dim ** -0.5
            scores = torch.einsum('qhd,khd->hqk', q, keys[0][0]) * scale
            scores.masked_fill_(rows[None, None] > (rows - k)[None, :, None], float('-inf'))
            # The rows of later passes stand at p - (k - m) and are one column each.
            moved = [(torch.roll(a, k - m, 0), torch.roll(b, k - m, 0)) for m, (a, b) in enumerate(keys) if m > 0]
            own = [torch.einsum('qhd,qhd->hq', q, a)[..., None] * scale for a, _ in moved]
            weights = torch.cat([scores, *own], -1).nan_to_num(neginf=-1e30).softmax(-1)
            mixed = torch.einsum('hqk,khd->qhd', weights[..., :n], keys[0][1])
            for i, (_, b) in enumerate(moved):
                mixed = mixed + weights[..., n + i].t()[..., None] * b
            x = self.norm(self.block.rest(joined, mixed.flatten(1)))
            out.append(x)
            hidden = torch.cat([torch.zeros(1, self.s.dim), x[:-1]])
        return out

    def loss(self, text: Text, head: Head) -> torch.Tensor:
        """Mean cross entropy of the tokens that the target said, guesses further ahead count less."""
        total, weight = torch.zeros(()), 0.0
        for k, rows in enumerate(self.passes(text, PASSES)):
            # Row r of a pass is position r + 1 and predicts ids[r + 2].
            at = torch.arange(max(text.first - 2, k), len(rows) - 1)
            if len(at) == 0:
                continue
            share = 0.8 ** k
            total = total + head.loss(rows[at], text.ids[at + 2], torch.full((len(at),), share))
            weight += share * len(at)
        return total / max(weight, 1.0)

    @torch.no_grad()
    def right(self, text: Text, head: Head) -> torch.Tensor:
        """Whether guess k at a place is the text's token, [places, PASSES]: the first guess is for place + 1."""
        rows = self.passes(text, PASSES)
        hits = [(head.guess(r[:-1]) == text.ids[2:]) for r in rows]
        n = len(hits[0])
        places = torch.arange(max(text.first - 2, 0), n - PASSES + 1)
        return torch.stack([hits[k][places + k] for k in range(PASSES)], 1) if len(places) else torch.zeros(0, PASSES).bool()

    def export(self, layers: int, context: int) -> tuple[str, dict[str, tuple[str, object]], dict[str, torch.Tensor]]:
        """Architecture, metadata and tensors of the GGUF."""
        meta = {**self.s.meta('qwen3', layers + 1, context), 'qwen3.nextn_predict_layers': ('u32', 1)}
        at = f'blk.{layers}'
        tensors = {**self.block.tensors(at), f'{at}.nextn.eh_proj.weight': self.join.weight,
                   f'{at}.nextn.enorm.weight': self.enorm.weight, f'{at}.nextn.hnorm.weight': self.hnorm.weight,
                   f'{at}.nextn.shared_head_norm.weight': self.norm.weight}
        return 'qwen3', meta, tensors
