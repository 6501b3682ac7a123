"""A DFlash draft model (arXiv 2602.06036), as src/models/dflash.ts computes it: the target's tapped rows become keys and values of
some layers that fill a block of masked tokens in one pass, without a causal mask inside the block."""
from __future__ import annotations

import torch
import torch.nn as nn

from blocks import Block, Head, RmsNorm, Shape, matrix
from records import Text

ANCHORS = 24  # blocks of a text in one step
FADE = 4.0  # a guess counts e times less so many places further


class Dflash(nn.Module):
    """Embeddings and head are the target's, frozen."""

    def __init__(self, s: Shape, target: dict[str, torch.Tensor], taps: list[int], layers: int, size: int, mask: int):
        super().__init__()
        self.s, self.embedding, self.taps, self.size, self.mask = s, target['embedding'], taps, size, mask
        self.fc, self.context_norm = matrix(s.dim, len(taps) * s.dim), RmsNorm(s.dim, s.eps)
        self.blocks = nn.ModuleList(Block(s) for _ in range(layers))
        self.norm = RmsNorm(s.dim, s.eps, target['norm'])

    def rows(self, text: Text, anchors: torch.Tensor) -> torch.Tensor:
        """Rows that enter the head, [anchors, size, D]. A block at anchor a begins with token x_a and sees taps below a."""
        n, size, s = len(text.ids), self.size, self.s
        context = self.context_norm(self.fc(text.taps.float()))
        positions = anchors[:, None] + torch.arange(size)
        tokens = torch.full((len(anchors), size), self.mask)
        tokens[:, 0] = text.ids[anchors]
        x = self.embedding[tokens]
        hide = (torch.arange(n)[None] >= anchors[:, None])[:, None, None]  # [A, 1, 1, N]
        for block in self.blocks:
            key, value = block.keys(context, torch.arange(n))
            h = block.attn_norm(x)
            q, (own, own_value) = block.queries(h, positions), block.keys(h, positions)
            seen = torch.einsum('aqhd,khd->ahqk', q, key).masked_fill(hide, float('-inf'))
            inside = torch.einsum('aqhd,akhd->ahqk', q, own)
            weights = (torch.cat([seen, inside], -1) * s.head_dim ** -0.5).softmax(-1)
            mixed = torch.einsum('ahqk,khd->aqhd', weights[..., :n], value)
            mixed = mixed + torch.einsum('ahqk,akhd->aqhd', weights[..., n:], own_value)
            x = block.rest(x, mixed.flatten(2))
        return self.norm(x)

    def _anchors(self, text: Text) -> torch.Tensor:
        return torch.arange(max(text.first - 1, 1), len(text.ids) - 1)

    def loss(self, text: Text, head: Head) -> torch.Tensor:
        """Mean cross entropy of the masked tokens of some blocks."""
        anchors = self._anchors(text)
        anchors = anchors[torch.randperm(len(anchors))[:ANCHORS]]
        rows = self.rows(text, anchors)[:, 1:]
        at = anchors[:, None] + torch.arange(1, self.size)
        known = at < len(text.ids)
        weights = torch.exp(-torch.arange(self.size - 1) / FADE).expand_as(at)[known]
        return head.loss(rows[known], text.ids[at[known]], weights) / weights.sum()

    @torch.no_grad()
    def right(self, text: Text, head: Head) -> torch.Tensor:
        """Whether guess k at a place is the text's token, [places, size - 1]."""
        anchors = self._anchors(text)
        anchors = anchors[anchors + self.size <= len(text.ids)]
        if len(anchors) == 0:
            return torch.zeros(0, self.size - 1).bool()
        guesses = torch.cat([head.guess(self.rows(text, part)[:, 1:]) for part in anchors.split(64)])
        return guesses == text.ids[anchors[:, None] + torch.arange(1, self.size)]

    def export(self, layers: int, context: int) -> tuple[str, dict[str, tuple[str, object]], dict[str, torch.Tensor]]:
        """Architecture, metadata and tensors of the GGUF."""
        meta = {**self.s.meta('dflash', len(self.blocks), context), 'dflash.block_size': ('u32', self.size),
                'dflash.target_layers': ('arr:i32', self.taps), 'tokenizer.ggml.mask_token_id': ('u32', self.mask)}
        tensors = {'fc.weight': self.fc.weight, 'enc.output_norm.weight': self.context_norm.weight,
                   'output_norm.weight': self.norm.weight}
        for i, block in enumerate(self.blocks):
            tensors.update(block.tensors(f'blk.{i}'))
        return 'dflash', meta, tensors
