"""The model's own greedy text, whose loops a training makes unlikely: unlikelihood on sequences (Welleck et al. 2019,
"Neural Text Generation with Unlikelihood Training"), here against copies of whole periods alone.

A model this small loops when it is greedy, whatever its loss: each copy of a line makes the next one likelier. Text of the
corpus cannot teach it to stop, since no loop is there.
"""
from __future__ import annotations

from typing import Callable

import numpy as np
import torch

from core import Model
from data import Stream
from tokenizer import Tokenizer
from train_generate import write_rows

# fn(replica, item) of every item, on all threads
Map = Callable[[Callable[[Model, torch.Tensor], tuple[np.ndarray, np.ndarray]], list[torch.Tensor]],
               list[tuple[np.ndarray, np.ndarray]]]

PERIOD, LEAST, ENOUGH = 48, 6, 32
PROMPTS = (4, 8, 16, 64)


def looping(ids: np.ndarray, start: int) -> np.ndarray:
    """Which tokens of rows [N, T] continue a loop: those of the third copy, and of later ones, of a period of at most PERIOD
    tokens. Short periods need LEAST tokens that repeat the last copy. Only the first ENOUGH tokens of a loop count, and none
    before `start`: a model that leaves loops early does not see the others."""
    at, out = np.arange(ids.shape[1]), np.zeros(ids.shape, bool)
    for period in range(1, PERIOD + 1):
        same = np.zeros(ids.shape, bool)
        same[:, period:] = ids[:, period:] == ids[:, :-period]
        run = at - np.maximum.accumulate(np.where(same, -1, at), axis=1)
        free = max(period, LEAST)
        out |= (run > free) & (run <= free + ENOUGH)
    out[:, :start] = False
    return out


class OwnText:
    """Micro batches of the model's own greedy text: 4 rows of 256 tokens, of which only those in loops have a weight
    (negative: they are to become unlikely). Prompts are beginnings of lines behind <|endoftext|>, as a person types them,
    and pieces of text."""

    ROWS, LENGTH, BATCH = 64, 257, 4

    def __init__(self, stream: Stream) -> None:
        tok, self.stream = Tokenizer(), stream
        self.eot = tok.eot
        ends = np.array([i == tok.eot or text.endswith(b'\n') for i, text in enumerate(tok.bytes)])
        self.lines = np.flatnonzero(ends[stream.ids[:-max(PROMPTS) - 1]]) + 1
        self.rng = np.random.default_rng([stream.seed, 2])
        self.ids = np.zeros((0, self.LENGTH), np.int64)
        self.each = np.zeros((0, self.LENGTH), np.float32)
        self.order: list[int] = []

    def prompts(self, length: int) -> torch.Tensor:
        """Prompts [ROWS, length]."""
        rows = []
        for at in self.rng.choice(self.lines, self.ROWS).tolist():
            row = self.stream.split(self.stream.ids[at:at + length], at)
            rows.append(row if length == max(PROMPTS) else np.concatenate([[self.eot], row[:-1]]))
        return torch.from_numpy(np.stack(rows).astype(np.int64))

    def rows(self, model: Model, prompts: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Greedy continuations [ROWS, LENGTH] of prompts, and their weights."""
        ids = write_rows(model, prompts, self.LENGTH, len(prompts), torch.Generator())['ids'].numpy()
        return ids, -looping(ids, prompts.shape[1]).astype(np.float32)

    def write(self, each_of: Map) -> float:
        """Write all rows with the model as it is now; returns the share of the written tokens that are in loops."""
        parts = each_of(self.rows, [self.prompts(n) for n in PROMPTS])
        self.ids, self.each = (np.concatenate(part) for part in zip(*parts))
        self.order = []
        return float((self.each < 0).sum()) / sum(self.ROWS * (self.LENGTH - n) for n in PROMPTS)

    def batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """ids, next-token labels and the labels' weights, each [4, 256]; every row comes once before any comes again."""
        if len(self.order) < self.BATCH:
            self.order = self.rng.permutation(len(self.ids)).tolist()
        take, self.order = self.order[:self.BATCH], self.order[self.BATCH:]
        ids, each = torch.from_numpy(self.ids[take]), torch.from_numpy(self.each[take])
        return ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), each[:, 1:].contiguous()
