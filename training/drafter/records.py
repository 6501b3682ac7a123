"""What `paceline features` wrote: the target's shared parts, and texts with the rows that a drafter is shown of them."""
from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Iterator

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent))
import gguf  # noqa: E402

HELD_OUT = 20  # of so many texts one is never trained on


def bf16(bits: np.ndarray) -> torch.Tensor:
    """BF16 bits as a tensor."""
    return torch.from_numpy(bits.astype(np.int16, copy=True)).view(torch.bfloat16)


@dataclass
class Text:
    """Tokens [N], rows [N, D] and [N, F*D]; what the target said itself begins at `first`."""

    ids: torch.Tensor
    first: int
    hidden: torch.Tensor
    taps: torch.Tensor


class Features:
    """A folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.settings = json.loads((folder / 'features.json').read_text())
        if self.settings['format'] != 1:
            raise SystemExit(f'{folder}: format {self.settings["format"]} is not known')
        self.dim, self.layers, self.taps = (self.settings[key] for key in ('embedding', 'layers', 'taps'))
        self.shards = sorted(folder.glob('shard-*.gguf'))
        if not self.shards:
            raise SystemExit(f'{folder}: no features yet')

    @cached_property
    def target(self) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
        """Metadata of the target, and `embedding` [V, D], `head` [V, D], `norm` [D]."""
        meta, tensors = gguf.read(self.folder / 'target.gguf')
        embedding = torch.from_numpy(tensors['token_embd.weight'].astype(np.float32))
        head = tensors.get('output.weight')
        return meta, {'embedding': embedding,
                      'head': embedding if head is None else torch.from_numpy(head.astype(np.float32)),
                      'norm': torch.from_numpy(tensors['output_norm.weight'].astype(np.float32))}

    def _of(self, path: Path, held_out: bool) -> list[Text]:
        """The texts of a file on one side of the split."""
        _, t = gguf.read(path)
        offsets, hidden, taps = t['offsets'], bf16(t['hidden']), bf16(t['taps'])
        number, texts = int(path.stem.split('-')[1]), []
        for i, first in enumerate(t['first']):
            index = number * self.settings['shard_texts'] + i
            a, b = int(offsets[i]), int(offsets[i + 1])
            if (index % HELD_OUT == HELD_OUT - 1) == held_out and b - a - int(first) >= 8:
                texts.append(Text(torch.from_numpy(t['ids'][a:b].astype(np.int64)), int(first), hidden[a:b], taps[a:b]))
        return texts

    def held_out(self) -> list[Text]:
        """What is never trained on."""
        return [text for path in self.shards for text in self._of(path, True)]

    def endless(self, seed: int) -> Iterator[Text]:
        """Training texts for ever, file by file in a new order each time."""
        rng, shards = np.random.default_rng(seed), list(self.shards)
        while True:
            rng.shuffle(shards)
            for path in shards:
                texts = self._of(path, False)
                for i in rng.permutation(len(texts)):
                    yield texts[i]
