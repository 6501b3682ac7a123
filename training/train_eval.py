"""Held-out loss of a checkpoint in nats per byte, and samples as they come out (greedy and at temperature 0.8)."""
from __future__ import annotations

import argparse

import numpy as np
import torch

from data import bytes_per_token, held_out
from drafting import load_target
from tokenizer import Tokenizer
from train_generate import write_rows

PROMPTS = ['export function ', 'import { readFile } from ', 'export interface Options {\n', '## Installation\n\n',
           '/**\n * Returns the ', 'export class EventEmitter<T> {\n  private ']


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--window', type=int, default=2048, help='tokens of a window')
    parser.add_argument('--limit', type=int, default=120_000, help='tokens of each text')
    parser.add_argument('--tokens', type=int, default=96, help='tokens of a sample')
    args = parser.parse_args()
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    model, tok = load_target(), Tokenizer()
    for text in ('heldout-ts', 'heldout-md'):
        losses = [model.step(x, y, train=False) for x, y in held_out(text, args.window, args.limit)]
        mean = float(np.mean(losses))
        print(f'{text}: {mean:.4f} nats a token, {mean / bytes_per_token(text):.4f} nats a byte '
              f'({len(losses) * args.window} tokens in windows of {args.window})', flush=True)
    for prompt in PROMPTS:
        ids = torch.tensor([[tok.eot] + tok.encode(prompt.encode()).tolist()])
        for kind, greedy in (('greedy', 1), ('temperature 0.8', 0)):
            out = write_rows(model, ids, ids.shape[1] + args.tokens, greedy, torch.Generator().manual_seed(1))
            row = out['ids'][0].tolist()[1:]
            row = row[:row.index(tok.eot)] if tok.eot in row else row
            print(f'--- {prompt!r} {kind}\n{tok.decode(row)}')


if __name__ == '__main__':
    main()
