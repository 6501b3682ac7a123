"""Train the two mixtures side by side: the same weights at the start, batches, steps and rate.

`train.py --minutes 90` goes on from work/experts/checkpoint.pt if it is there and stops after so many minutes, on SIGTERM,
or when `--steps` are done; `train.py --anneal 300` goes on for 300 steps in which the rate falls to zero, which ends
the training. Each model has one thread. They meet after every piece of 10 steps, and are saved together, so that both
always have the same number of steps. Batches and pools are functions of the step alone: a resumed training is the same
as one that was not interrupted.
"""
from __future__ import annotations

import argparse
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from corpus import KINDS, WORK
from model import Batch, Config, Mixture

PIECE, ROWS = 10, 16
WARM_UP, RATE, DECAY, CLIP = 100, 3e-3, 0.1, 1.0
LEAST, MOST = 48, 224  # tokens of a piece of a document
CHECKPOINT = WORK / 'checkpoint.pt'


class Pieces:
    """Pieces of the documents of all kinds, in a seeded order that is another one in each epoch."""

    def __init__(self, context: int, eot: int, part: str = 'train') -> None:
        self.context, self.eot = context, eot
        self.ids = [np.fromfile(WORK / f'{kind}.{part}.bin', np.uint16) for kind in KINDS]
        self.rows: list[list[np.ndarray]] = []
        self.epoch = -1

    def cut(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Every document in pieces of LEAST to MOST tokens, each beginning with <|endoftext|>; kinds weigh alike."""
        out: list[np.ndarray] = []
        most = max(map(len, self.ids))
        for ids in self.ids:
            starts = [*np.flatnonzero(ids == self.eot).tolist(), len(ids)]
            pieces = []
            for a, b in zip(starts, starts[1:]):
                at = a + 1
                while at < b:
                    end = min(b, at + int(rng.integers(LEAST, MOST)))
                    pieces.append(np.concatenate([[self.eot], ids[at:end]]).astype(np.int64))
                    at = end
            again = max(1, round(most / len(ids)))
            out += pieces * again
        return [out[i] for i in rng.permutation(len(out))]

    def load(self, epoch: int) -> None:
        """Fill rows of context + 1 tokens with the pieces of an epoch; what goes past a row's end is left out."""
        rng = np.random.default_rng([11, epoch])
        self.rows, row, room = [], [], self.context + 1
        for piece in self.cut(rng):
            row.append(piece[:room])
            room -= len(row[-1])
            if room < LEAST:
                self.rows.append(row)
                row, room = [], self.context + 1
        self.epoch = epoch

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        if self.epoch < 0:
            self.load(0)
        per = len(self.rows) // ROWS
        if step // per != self.epoch:
            self.load(step // per)
            per = len(self.rows) // ROWS
        at = step % per * ROWS
        ids = torch.full((ROWS, self.context + 1), self.eot, dtype=torch.int64)
        document = torch.zeros(ROWS, self.context + 1, dtype=torch.int64)
        known = torch.zeros(ROWS, self.context + 1, dtype=torch.bool)  # tokens that follow from those before them
        count = 0
        for r, row in enumerate(self.rows[at:at + ROWS]):
            place = 0
            for piece in row:
                end = place + len(piece)
                ids[r, place:end] = torch.from_numpy(piece)
                known[r, place + 1:end] = True
                document[r, place:] = count
                place, count = end, count + 1
        labels = ids.masked_fill(~known, -100)
        return Batch(ids[:, :-1].contiguous(), labels[:, 1:].contiguous(), document[:, :-1].contiguous(), count)


class Run:
    """A mixture with its optimiser (AdamW over one flat vector)."""

    def __init__(self, name: str, cfg: Config, pieces: Pieces) -> None:
        self.name, self.pieces = name, pieces
        self.model = Mixture(cfg, emo=name == 'emo')
        flat = self.model.weights.flat
        self.m, self.v, self.g = torch.zeros_like(flat), torch.zeros_like(flat), torch.empty_like(flat)
        self.decays = torch.ones_like(flat)
        for kind, part in zip(self.model.weights.shapes, self.model.weights.split(self.decays)):
            if kind in ('emb', 'norm'):
                part.zero_()

    def update(self, step: int, rate: float) -> None:
        """One step of AdamW; `step` counts from 0."""
        flat, g = self.model.weights.flat, self.g
        g.mul_(min(1.0, CLIP / (float(g.norm()) + 1e-6)))
        a, b = 0.9, 0.95
        self.m.mul_(a).add_(g, alpha=1 - a)
        self.v.mul_(b).addcmul_(g, g, value=1 - b)
        flat.addcmul_(flat, self.decays, value=-rate * DECAY)
        root = (self.v / (1 - b ** (step + 1))).sqrt_().add_(1e-9)
        flat.addcdiv_(self.m, root, value=-rate / (1 - a ** (step + 1)))
        self.model.weights.refresh()

    def piece(self, first: int, rates: list[float]) -> tuple[float, float, float]:
        """Some steps; the means of what `Mixture.step` returns."""
        sums = np.zeros(3)
        for step, rate in enumerate(rates, first):
            gen = torch.Generator().manual_seed(1000 + step)
            sums += self.model.step(self.pieces.batch(step), gen, self.g)
            self.update(step, rate)
        return tuple((sums / len(rates)).round(4).tolist())

    def state(self) -> dict[str, torch.Tensor]:
        """For a checkpoint."""
        return {'flat': self.model.weights.flat, 'm': self.m, 'v': self.v}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """From a checkpoint."""
        self.model.weights.flat.copy_(state['flat'])
        self.m.copy_(state['m'])
        self.v.copy_(state['v'])
        self.model.weights.refresh()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=1e9, help='stop after so many minutes')
    parser.add_argument('--steps', type=int, default=10**9, help='stop when so many steps are done, all runs together')
    parser.add_argument('--anneal', type=int, default=0, help='so many last steps, in which the rate falls to zero')
    args = parser.parse_args()
    torch.set_num_threads(1)
    cfg = Config()
    eot = json.loads((WORK / 'vocab.json').read_text())['tokens'].index('<|endoftext|>')
    runs = [Run(name, cfg, Pieces(cfg.context, eot)) for name in ('plain', 'emo')]
    step, anneal = 0, None
    if CHECKPOINT.exists():
        saved = torch.load(CHECKPOINT)
        step, anneal = saved['step'], saved['anneal']
        for run in runs:
            run.restore(saved[run.name])
    if args.anneal and anneal is None:
        anneal = (step, step + args.anneal)
    if args.anneal and anneal and step >= anneal[1]:
        raise SystemExit(f'the training ended at step {step}')
    last = min(args.steps, anneal[1] if anneal else args.steps)
    stopped = []
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, lambda *_: stopped.append(True))
    print(f'{sum(run.model.weights.flat.numel() for run in runs) // 2} parameters, from step {step} to {last}', flush=True)

    def rate(at: int) -> float:
        if anneal and at >= anneal[0]:
            return RATE * (anneal[1] - at) / (anneal[1] - anneal[0])
        return RATE * min(1.0, (at + 1) / WARM_UP)

    begun, saved_at = time.monotonic(), time.monotonic()
    with ThreadPoolExecutor(len(runs), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        while step < last and not stopped and time.monotonic() - begun < 60 * args.minutes:
            at = time.monotonic()
            rates = [rate(s) for s in range(step, min(step + PIECE, last))]
            results = list(pool.map(lambda run: run.piece(step, rates), runs))
            step += len(rates)
            line = ', '.join(f'{run.name} loss {r[0]:.4f} balance {r[1]:.3f} busiest {r[2]:.1f}' for run, r in zip(runs, results))
            print(f'step {step}: {line}; rate {rates[-1]:.2e}, {(time.monotonic() - at) / len(rates):.2f} s a step', flush=True)
            if time.monotonic() - saved_at > 60 or step >= last:
                save(step, anneal, runs)
                saved_at = time.monotonic()
    save(step, anneal, runs)


def save(step: int, anneal: tuple[int, int] | None, runs: list[Run]) -> None:
    """Write the checkpoint, complete or not at all."""
    tmp = CHECKPOINT.with_suffix('.tmp')
    torch.save({'step': step, 'anneal': anneal, **{run.name: run.state() for run in runs}}, tmp)
    os.replace(tmp, CHECKPOINT)


if __name__ == '__main__':
    main()
