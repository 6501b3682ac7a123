"""Trains a drafter for a person's own model, from what `paceline features` recorded.

    paceline features model.gguf work/features --prompts prompts.txt
    python3 train.py work/features --kind mtp --minutes 60 --out model-mtp.gguf
    python3 train.py work/features --kind dflash --minutes 60 --out model-dflash.gguf
    paceline draft check model.gguf model-mtp.gguf

Interrupt and repeat to go on. Prints, and writes into the file, how often guesses were right on texts that were held out, by
position, given that those before were right.
"""
from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn

from records import Features  # sets the path for what follows
import gguf
from blocks import Head, Shape
from clock import Clock
from dflash import Dflash
from mtp import Mtp

TEXTS = 8  # of a step
Drafter = Mtp | Dflash


def shape(meta: dict[str, object], dim: int, eps: float, ff: int | None) -> Shape:
    """A block like those of the target."""
    arch = meta['general.architecture']

    def key(name: str, fallback: object) -> object:
        value = meta.get(f'{arch}.{name}', fallback)
        return value[0] if isinstance(value, list) else value

    heads = int(key('attention.head_count', 8))
    return Shape(dim, heads, int(key('attention.head_count_kv', heads)), int(key('attention.key_length', dim // heads)),
                 ff or int(key('feed_forward_length', 4 * dim)), eps, float(key('rope.freq_base', 10000.0)))


def mask_token(meta: dict[str, object], given: int | None) -> int:
    """The token that stands for what is not known yet: any that texts do not hold will do."""
    for value in (given, *(meta.get(f'tokenizer.ggml.{k}_token_id') for k in ('mask', 'padding', 'unknown', 'eos'))):
        if value is not None:
            return int(value)
    raise SystemExit('the target names no token to mask with: give --mask-token')


def frequent(features: Features, most: int) -> torch.Tensor:
    """The tokens that training text holds most often, ascending."""
    counts = np.zeros(len(features.target[1]['embedding']), np.int64)
    for path in features.shards:
        _, t = gguf.read(path)
        counts += np.bincount(t['ids'], minlength=len(counts))
    chosen = np.argsort(-counts, kind='stable')[:most]
    return torch.from_numpy(np.sort(chosen[counts[chosen] > 0]))


def acceptance(drafter: Drafter, features: Features, head: Head) -> tuple[list[float], float]:
    """On held-out text: how often guess k is right if those before were, and the mean of right guesses in a row."""
    with torch.autocast('cpu', torch.bfloat16):
        found = [drafter.right(text, head) for text in features.held_out()]
    if sum(map(len, found)) == 0:
        return [], 0.0
    right = torch.cat(found).float()
    run = right.cumprod(1)
    before = torch.cat([torch.ones(len(run), 1), run[:, :-1]], 1)
    given = run.sum(0) / before.sum(0).clamp(min=1)
    return [round(float(x), 4) for x in given], float(run.sum(1).mean())


def sizes(features: Features) -> tuple[float, list[float]]:
    """Root mean square of the rows that the drafter learnt from: hidden, and each tap."""
    texts = features.held_out() or [next(features.endless(0))]
    hidden = torch.cat([t.hidden for t in texts]).float()
    taps = torch.cat([t.taps for t in texts]).float().view(len(hidden), -1, features.dim)
    return float(hidden.pow(2).mean().sqrt()), [float(x) for x in taps.pow(2).mean((0, 2)).sqrt()]


def export(drafter: Drafter, features: Features, path: Path, q8: bool, rates: list[float]) -> int:
    """Write the GGUF."""
    target = features.target[0]
    arch, meta, tensors = drafter.export(features.layers, int(target.get(f"{target['general.architecture']}.context_length", 2048)))
    hidden, taps = sizes(features)
    name = str(target.get('general.name', Path(features.settings['model']).stem))
    facts: gguf.Meta = {'general.architecture': ('str', arch), 'general.type': ('str', 'model'),
                        'general.name': ('str', f'{name} {arch} drafter'), 'general.file_type': ('u32', 7 if q8 else 0), **meta,
                        'paceline.draft.target': ('str', Path(features.settings['model']).name),
                        'paceline.draft.acceptance': ('arr:f32', rates), 'paceline.draft.hidden_rms': ('f32', hidden),
                        'paceline.draft.tap_rms': ('arr:f32', taps)}
    copied = {key: entry for key, entry in gguf.entries(features.folder / 'target.gguf', 'tokenizer.').items() if key not in facts}
    arrays = {key: value.detach().float().numpy() for key, value in tensors.items()}
    return gguf.write(path, facts, arrays, q8, copied)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('features', type=Path, help='the folder of `paceline features`')
    parser.add_argument('--kind', choices=('mtp', 'dflash'), required=True)
    parser.add_argument('--out', type=Path, required=True, help='the GGUF; a checkpoint lies beside it until it is done')
    parser.add_argument('--minutes', type=float, default=60, help='minutes at work')
    parser.add_argument('--lr', type=float, default=1.5e-3)
    parser.add_argument('--layers', type=int, default=2, help='of a DFlash model')
    parser.add_argument('--block', type=int, default=8, help='of a DFlash model: the last token and the guesses')
    parser.add_argument('--ff', type=int, help='width of the networks (default: the target\'s)')
    parser.add_argument('--mask-token', type=int, help='of a DFlash model (default: what the target names)')
    parser.add_argument('--frequent', type=int, default=4096, help='tokens whose logits every step computes')
    parser.add_argument('--sampled', type=int, default=1024, help='other tokens of a step; more is slower and more exact')
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--f32', action='store_true', help='matrices in F32 instead of Q8_0')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    features = Features(args.features)
    meta, target = features.target
    s = shape(meta, features.dim, features.settings['epsilon'], args.ff)
    drafter = (Mtp(s, target) if args.kind == 'mtp'
               else Dflash(s, target, features.taps, args.layers, args.block, mask_token(meta, args.mask_token)))
    head = Head(target['head'].to(torch.bfloat16), frequent(features, args.frequent), args.sampled)
    fit(drafter, features, head, args)
    rates, run = acceptance(drafter, features, head)
    print(f'held out: right by position {rates}, {run:.3f} right guesses a pass')
    size = export(drafter, features, args.out, not args.f32, rates)
    checkpoint(args.out).unlink(missing_ok=True)
    print(f'{args.out}: {size} bytes')


def checkpoint(out: Path) -> Path:
    """Beside the result."""
    return out.with_suffix('.pt')


def fit(drafter: Drafter, features: Features, head: Head, args: argparse.Namespace) -> None:
    """Steps until the minutes are over; the rate falls to zero at their end."""
    matrices = [p for p in drafter.parameters() if p.ndim == 2]
    gains = [p for p in drafter.parameters() if p.ndim == 1]
    optimiser = torch.optim.AdamW([{'params': matrices, 'weight_decay': 0.01}, {'params': gains, 'weight_decay': 0.0}],
                                  lr=args.lr, betas=(0.9, 0.98))
    clock, step, path = Clock(), 0, checkpoint(args.out)
    settings = {'kind': args.kind, **vars(drafter.s), 'shapes': [list(p.shape) for p in drafter.parameters()]}
    if path.exists():
        saved = torch.load(path)
        if saved['settings'] != settings:
            raise SystemExit(f'{path} is of another run: remove it, or give the same arguments')
        drafter.load_state_dict(saved['drafter'])
        optimiser.load_state_dict(saved['optimiser'])
        clock.spent, step = saved['spent'], saved['step']
    data, shown, kept = features.endless(args.seed + step), clock.spent, clock.spent
    while (share := clock.spent / (60 * args.minutes)) < 1:
        rate = args.lr * min(1.0, (step + 1) / 50) * min(1.0, (1 - share) / 0.7)
        for group in optimiser.param_groups:
            group['lr'] = rate
        optimiser.zero_grad(set_to_none=True)
        loss = 0.0
        for _ in range(TEXTS):
            with torch.autocast('cpu', torch.bfloat16):
                value = drafter.loss(next(data), head) / TEXTS
            value.backward()
            loss += float(value)
        nn.utils.clip_grad_norm_(drafter.parameters(), 1.0)
        optimiser.step()
        step += 1
        clock.step()
        if clock.spent - shown > 20:
            shown = clock.spent
            print(f'{100 * share:5.1f}% step {step} loss {loss:.3f}', flush=True)
        if clock.spent - kept > 180:
            kept = clock.spent
            torch.save({'settings': settings, 'drafter': drafter.state_dict(), 'optimiser': optimiser.state_dict(),
                        'spent': clock.spent, 'step': step}, path.with_suffix('.tmp'))
            os.replace(path.with_suffix('.tmp'), path)
    print(f'{step} steps')


if __name__ == '__main__':
    main()
