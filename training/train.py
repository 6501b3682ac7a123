"""Train the default model on a number of tokens; checkpoints resume, and so does a GGUF (--from-gguf).

The learning rate follows the share of the tokens that has been seen and ends at zero, so neither a slow machine nor an
interruption changes the schedule. Sequences are short at first and full length at the end (PHASES). In the last part
the model writes greedy text between steps and learns there to leave loops (loops.py); that text is written anew after an
interruption. One line is printed each 20 steps.
"""
from __future__ import annotations

import argparse
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from pathlib import Path
from typing import Callable, TypeVar

import torch

import restore
from core import Config, Model
from data import WORK, Stream, bytes_per_token, held_out
from loops import OwnText, leave
from optim import AdamW, Muon

State = dict[str, torch.Tensor]
Item, Result = TypeVar('Item'), TypeVar('Result')

# Up to which share of the tokens: sequence length, sequences a micro batch, micro batches a step (8192 tokens: Muon's work
# for a step is that of 1300 tokens). Attention makes a token of 2048 cost twice one of 256.
PHASES = [(0.6, 256, 4, 8), (0.85, 512, 2, 8), (0.95, 1024, 1, 8), (1.01, 2048, 1, 4)]


class Team:
    """Worker threads, one core each, that take micro batches from a common queue: a core that others use slows down
    its own share only, and nothing spins at barriers."""

    def __init__(self, model: Model, threads: int) -> None:
        self.idle: SimpleQueue[Model] = SimpleQueue()
        self.replicas = [model] + [Model(model.cfg, share=model) for _ in range(threads - 1)]
        for replica in self.replicas:
            self.idle.put(replica)
        self.pool = ThreadPoolExecutor(threads, initializer=torch.set_grad_enabled, initargs=(False,))

    def map(self, work: Callable[[Model, Item], Result], items: list[Item]) -> list[Result]:
        """work(replica, item) of each item; no replica does two at a time."""
        def one(item: Item) -> Result:
            replica = self.idle.get()
            try:
                return work(replica, item)
            finally:
                self.idle.put(replica)
        return list(self.pool.map(one, items))

    def others(self, state: State) -> dict[int, Model]:
        """A model with these weights beside each replica, by the replica's id()."""
        first = Model(self.replicas[0].cfg)
        first.load(state)
        return {id(r): Model(first.cfg, share=first) for r in self.replicas}

    def run(self, batches: list[tuple[torch.Tensor, torch.Tensor]], weight: float, zreg: float, train: bool) -> list[float]:
        """Loss of each micro batch (ids and labels); gradients add up in the replicas."""
        return self.map(lambda replica, batch: replica.step(*batch, weight=weight, zreg=zreg, train=train), batches)

    def gather(self) -> list[torch.Tensor]:
        """Gradients of all replicas summed, in those of the first."""
        for total, *parts in zip(*(r.grads() for r in self.replicas)):
            for part in parts:
                total.add_(part)
        return self.replicas[0].grads()

    def zero(self) -> None:
        """Clear all gradients."""
        for replica in self.replicas:
            replica.zero()


def evaluate(team: Team, T: int = 1024, limit: int = 16_000) -> dict[str, float]:
    """Held-out loss in nats per byte (windows of T tokens)."""
    out = {}
    for name in ['heldout-ts', 'heldout-md']:
        losses = team.run(held_out(name, T, limit), 0.0, 0.0, False)
        out[name] = round(sum(losses) / len(losses) / bytes_per_token(name), 4)
    return out


def optimisers(model: Model) -> tuple[Muon, AdamW]:
    """Muon over block matrices (fused ones by part), AdamW over the rest."""
    c = model.cfg
    weights, splits = [], []
    for block in model.blocks:
        for k, w in block.w.items():
            weights.append(w)
            kv = c.kv_heads * c.head_dim
            splits.append([c.heads * c.head_dim, kv, kv] if k == 'qkv' else [c.ff, c.ff] if k == 'gu' else [w.shape[0]])
    return Muon(weights, splits), AdamW([model.emb, model.norm])


def save(path: Path, model: Model, muon: Muon, adam: AdamW, meta: dict[str, float], frozen: State | None) -> None:
    """Write a checkpoint beside its name, then rename."""
    tmp = path.with_suffix('.tmp')
    torch.save({'cfg': model.cfg.dict(), 'model': model.state(), 'muon': muon.buf, 'adam': (adam.m, adam.v, adam.count),
                'meta': meta, 'frozen': frozen}, tmp)
    os.replace(tmp, path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tokens', type=float, default=100.0, help='millions of tokens of the whole run')
    parser.add_argument('--out', type=Path, default=WORK / 'target.pt', help='checkpoint; resumed from when it exists')
    parser.add_argument('--from-gguf', type=Path, help='begin with the weights of this file when there is no checkpoint')
    parser.add_argument('--seen', type=float, default=0.0, help='with --from-gguf: tokens that it has seen, in millions')
    parser.add_argument('--layers', type=int, default=Config.layers, help='blocks')
    parser.add_argument('--lr', type=float, default=0.015, help='peak rate of Muon')
    parser.add_argument('--emb-lr', type=float, default=0.006, help='peak rate of AdamW on the embedding')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads')
    parser.add_argument('--pin', default='', help='a fixed phase for experiments: T,B,accumulate')
    parser.add_argument('--save-every', type=float, default=300.0, help='seconds between checkpoints')
    parser.add_argument('--own', type=float, default=0.85, help='share of the tokens after which own text joins; 1: never')
    parser.add_argument('--own-weight', type=float, default=30.0, help='weight of a token in a loop; one of real text has 1')
    parser.add_argument('--own-every', type=int, default=40, help='steps between two writings of own text')
    parser.add_argument('--loose', type=float, default=0.06, help='share of words that lose their leading space')
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)

    cfg, state = restore.target(args.from_gguf) if args.from_gguf else (Config(layers=args.layers), None)
    model = Model(cfg)
    if state:
        model.load(state)
    muon, adam = optimisers(model)
    frozen: State | None = None
    meta = {'steps': 0, 'tokens': int(1e6 * args.seen) if state else 0}
    meta['start'] = meta['tokens']
    if args.out.exists():
        ck = torch.load(args.out)
        model.load(ck['model'])
        for a, b in zip(muon.buf, ck['muon']):
            a.copy_(b)
        for a, b in zip(adam.m + adam.v, ck['adam'][0] + ck['adam'][1]):
            a.copy_(b)
        adam.count, meta, frozen = ck['adam'][2], ck['meta'], ck.get('frozen')
        print(f'resumed at step {meta["steps"]}', flush=True)
    team = Team(model, args.threads)
    stream = Stream(skip=int(meta['tokens']), loose=args.loose)
    own: OwnText | None = None
    teachers: dict[int, Model] = {}
    print(f'{model.params()} parameters, {len(stream.ids)} training tokens', flush=True)
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))  # saves, then ends
    saved = shown = time.monotonic()
    total, count, since = 0.0, 0, 0
    while True:
        share = (meta['tokens'] - meta['start']) / (1e6 * args.tokens)
        if share >= 1 or stop:
            break
        T, B, acc = next((t, b, a) for limit, t, b, a in PHASES if share < limit)
        if args.pin:
            T, B, acc = map(int, args.pin.split(','))
        team.zero()
        losses = team.run([stream.batch(B, T) for _ in range(acc)], 1 / acc, 1e-4, True)
        total, count = total + sum(losses), count + acc
        if share >= args.own:
            if not own:
                own, frozen = OwnText(stream), frozen or {k: w.clone() for k, w in model.state().items()}
                teachers = team.others(frozen)
            if meta['steps'] % args.own_every == 0 or not len(own.ids):
                loops = own.take(team.map(own.rows, own.prompts()))
                print(f'own text: {100 * loops:.1f}% of its tokens are in loops', flush=True)
            weight = args.own_weight * own.BATCH * (own.LENGTH - 1) / (B * T * acc)
            team.map(lambda model, batch: leave(model, teachers[id(model)], *batch, weight), [own.batch() for _ in range(2)])
        warm = min(1.0, (meta['steps'] + 1) / 60)
        lr = warm * min(1.0, (1 - share) / 0.75)
        mom = 0.85 + 0.10 * min(1.0, meta['steps'] / 300)
        grads = team.gather()
        jobs = [team.pool.submit(muon.step, i, g, args.lr * lr, 0.01, mom) for i, g in enumerate(grads[:-2])]
        adam.step(grads[-2:], [args.emb_lr * lr, 0.0003 * lr])
        for job in jobs:
            job.result()
        model.refresh()
        meta['steps'] += 1
        meta['tokens'] += B * T * acc
        since += B * T * acc
        now = time.monotonic()
        if meta['steps'] % 20 == 0:
            print(f'{100 * share:5.1f}% step {int(meta["steps"])} T {T} tokens {meta["tokens"] / 1e6:.2f}M '
                  f'loss {total / count:.4f} lr {lr:.3f} {since / (now - shown):.0f} tok/s', flush=True)
            total, count, since, shown = 0.0, 0, 0, now
        if now - saved > args.save_every:
            print(f'held out, nats a byte: {evaluate(team)}', flush=True)
            save(args.out, model, muon, adam, meta, frozen)
            saved = time.monotonic()
            shown += saved - now
    save(args.out, model, muon, adam, meta, frozen)
    if stop:
        return
    print(f'end: {meta}, held out: {evaluate(team, 2048, 40_000)}', flush=True)


if __name__ == '__main__':
    main()
