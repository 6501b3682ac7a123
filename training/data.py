"""Batches from the encoded corpus: random windows for training, fixed ones for evaluation."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

WORK = Path(__file__).resolve().parent / 'work'


WINDOW, POOL = 2048, 64
SPACE = '\u0120'  # how the vocabulary writes a space


class Stream:
    """Pieces of the training tokens: windows of 2048 in a seeded random order, each once per epoch; shorter lengths
    are cut from windows and mixed over POOL of them. `skip` tokens are taken as seen (for resuming)."""

    def __init__(self, seed: int = 7, skip: int = 0, name: str = 'train', loose: float = 0.0) -> None:
        self.ids = np.fromfile(WORK / f'{name}.bin', dtype=np.uint16)
        self.seed, self.at, self.T = seed, skip // WINDOW, 0
        self.pool: list[int] = []
        self.loose = loose
        index = {t: i for i, t in enumerate(json.loads((WORK.parent / 'vocab.json').read_text())['tokens'])}
        self.space = index[SPACE]
        self.bare = {i: index[t[1:]] for t, i in index.items() if len(t) > 1 and t[0] == SPACE and t[1:] in index
                     and t.strip(SPACE)}
        self.longer = {i: index[t + SPACE] for t, i in index.items() if not t.strip(SPACE) and t + SPACE in index}

    def start_of(self, i: int) -> int:
        """First token of the i-th window since the beginning of training."""
        count = (len(self.ids) - 1 - WINDOW) // WINDOW
        rng = np.random.default_rng([self.seed, i // count])
        if not hasattr(self, '_order') or self._epoch != i // count:
            self._epoch, shift = i // count, int(rng.integers(0, WINDOW))
            self._order = rng.permutation(count) * WINDOW + shift
        return int(self._order[i % count])

    def split(self, ids: np.ndarray, key: int) -> np.ndarray:
        """Some words lose their leading space to a token before them, as at the end of a prompt that ends in a space;
        without this such a prompt is continued with digits, the only thing that follows a lone space in the text."""
        if not self.loose:
            return ids
        rng = np.random.default_rng([self.seed, key])
        out: list[int] = []
        for token, chance in zip(ids.tolist(), rng.random(len(ids)).tolist()):
            if chance < self.loose and token in self.bare:
                run = self.longer.get(out[-1]) if out else None
                if run is not None:
                    out[-1] = run
                else:
                    out.append(self.space)
                out.append(self.bare[token])
            else:
                out.append(token)
        return np.array(out[:len(ids)], np.uint16)

    def batch(self, B: int, T: int) -> tuple[torch.Tensor, torch.Tensor]:
        """ids and next-token labels, each [B, T] int64; T divides 2048."""
        if T != self.T:
            self.T, self.pool = T, []
        while len(self.pool) < B:
            starts = [self.start_of(self.at + i) for i in range(POOL)]
            cut = [s + k for s in starts for k in range(0, WINDOW, T)]
            self.pool += np.random.default_rng([self.seed, self.at]).permutation(cut).tolist()
            self.at += POOL
        starts, self.pool = self.pool[:B], self.pool[B:]
        rows = np.stack([self.split(self.ids[s:s + T + 1], s) for s in starts]).astype(np.int64)
        return torch.from_numpy(rows[:, :-1].copy()), torch.from_numpy(rows[:, 1:].copy())


def held_out(name: str, T: int, limit: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Consecutive windows [1, T] of a held-out text, at most limit tokens in all."""
    ids = torch.from_numpy(np.fromfile(WORK / f'{name}.bin', dtype=np.uint16).astype(np.int64))
    out = []
    for s in range(0, min(limit, len(ids) - T - 1), T):
        out.append((ids[s:s + T][None].contiguous(), ids[s + 1:s + T + 1][None].contiguous()))
    return out


def bytes_per_token(name: str) -> float:
    """Bytes of text for each token of a text."""
    return (WORK / f'{name}.txt').stat().st_size / ((WORK / f'{name}.bin').stat().st_size / 2)
