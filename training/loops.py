"""Teaches the model to leave loops: it writes greedy text, and learns there from itself as it was, with loops cut out.

A model this small loops when it is greedy, whatever its loss: each copy of a line makes the next one likelier. Text of the
corpus cannot teach it to stop, since no loop is there. Where its own text repeats what stands right before, the frozen
model's distribution is taken with the copied token at no more than FADE and all others in their proportions; everywhere
else as it is, so that little but loops changes. Unlikelihood (Welleck et al. 2019) says only what not to write; here that
ended the loops and left nonsense in their place.
"""
from __future__ import annotations

import numpy as np
import torch

from core import BF, Model
from data import Stream
from tokenizer import Tokenizer
from train_generate import write_rows

PERIOD, LEAST, ENOUGH = 48, 4, 64
FADE = 0.1  # the most that a token keeps which goes on with a loop
HOLD = 0.02  # weight of other tokens, as a share of the weight of those
PROMPTS = (6, 16, 64, 128)
SHORT = 16  # prompts of so many tokens and fewer begin a text


def looping(ids: np.ndarray, start: int) -> np.ndarray:
    """Which tokens of rows [N, T] are in a loop: those that go on repeating a period of at most PERIOD tokens, after half a
    copy and LEAST tokens at least. Only the next ENOUGH tokens count, and none before `start`: a model that leaves loops
    early does not see the others."""
    at, out = np.arange(ids.shape[1]), np.zeros(ids.shape, bool)
    for period in range(1, PERIOD + 1):
        same = np.zeros(ids.shape, bool)
        same[:, period:] = ids[:, period:] == ids[:, :-period]
        run = at - np.maximum.accumulate(np.where(same, -1, at), axis=1)
        free = max(period // 2, LEAST)
        out |= (run > free) & (run <= free + ENOUGH)
    out[:, :start] = False
    return out


def distribution(model: Model, ids: torch.Tensor) -> torch.Tensor:
    """Of the token behind each of ids [B, T]: [B * T, V], in float. What backward would need is thrown away."""
    h, _, _ = model.trunk(ids)
    model.forget()
    return ((h.float() * model.norm).to(BF) @ model.emb_b.t()).float().softmax(-1)


def leave(model: Model, frozen: Model, ids: torch.Tensor, labels: torch.Tensor, loops: torch.Tensor, weight: float) -> None:
    """Add to the model's gradients, times weight, those of the mean cross entropy of its distributions over ids [B, T] to the
    frozen model's, in which the labels that `loops` [B, T] names have at most FADE; other places count HOLD times."""
    want = distribution(frozen, ids)
    at, flat = loops.reshape(-1), labels.reshape(-1, 1)
    had = want.gather(1, flat)
    has = torch.where(at[:, None], had.clamp(max=FADE), had)
    want.mul_((1 - has) / (1 - had).clamp(min=1e-6)).scatter_(1, flat, has)
    h, r, _ = model.trunk(ids)
    hn = (h.float() * model.norm).to(BF)
    each = torch.where(at[:, None], weight, HOLD * weight) / len(flat)
    off = ((hn @ model.emb_b.t()).float().softmax(-1).sub_(want) * each).to(BF)
    model.g_emb.add_(off.t() @ hn)
    model.back(off @ model.emb_b, h, r, ids)


class OwnText:
    """Micro batches of the model's own greedy text, 4 rows of 256 tokens. Prompts are pieces of text, and beginnings of lines
    behind <|endoftext|>, as a person types them."""

    ROWS, LENGTH, BATCH = 64, 257, 4

    def __init__(self, stream: Stream) -> None:
        tok, self.stream = Tokenizer(), stream
        self.eot = tok.eot
        ends = np.array([i == tok.eot or text.endswith(b'\n') for i, text in enumerate(tok.bytes)])
        self.lines = np.flatnonzero(ends[stream.ids[:-max(PROMPTS) - 1]]) + 1
        self.rng = np.random.default_rng([stream.seed, 2])
        self.ids = np.zeros((0, self.LENGTH), np.int64)
        self.loops = np.zeros((0, self.LENGTH), bool)
        self.order: list[int] = []

    def prompts(self) -> list[torch.Tensor]:
        """Prompts [ROWS, n] of each length."""
        out = []
        for length in PROMPTS:
            rows = []
            for at in self.rng.choice(self.lines, self.ROWS).tolist():
                row = self.stream.split(self.stream.ids[at:at + length], at)
                rows.append(row if length > SHORT else np.concatenate([[self.eot], row[:-1]]))
            out.append(torch.from_numpy(np.stack(rows).astype(np.int64)))
        return out

    def rows(self, model: Model, prompts: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Greedy continuations [ROWS, LENGTH] of prompts, and which of their tokens are in loops."""
        ids = write_rows(model, prompts, self.LENGTH, len(prompts), torch.Generator())['ids'].numpy()
        return ids, looping(ids, prompts.shape[1])

    def take(self, parts: list[tuple[np.ndarray, np.ndarray]]) -> float:
        """Use these rows from now on; returns the share of the written tokens that are in loops."""
        self.ids, self.loops = (np.concatenate(part) for part in zip(*parts))
        self.order = []
        return float(self.loops.sum()) / sum(self.ROWS * (self.LENGTH - n) for n in PROMPTS)

    def batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """ids, next-token labels and which labels are in loops, each [4, 256]; every row comes once before any comes again."""
        if len(self.order) < self.BATCH:
            self.order = self.rng.permutation(len(self.ids)).tolist()
        rows, self.order = self.order[:self.BATCH], self.order[self.BATCH:]
        ids, loops = torch.from_numpy(self.ids[rows]), torch.from_numpy(self.loops[rows])
        return ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), loops[:, 1:].contiguous()
