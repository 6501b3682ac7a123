"""Export the target's hidden states for a text: what drafters are trained from.

Writes a compressed .npz: ids [T], hidden [T, D] (after the final norm, with its gain) and, for each tapped layer j,
layer<j> [T, D] (the stream after layer j, 0-based, before any norm), float16, in windows of --window tokens.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from drafting import TAPS, load_target
from tokenizer import Tokenizer


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--text', type=Path, required=True, help='UTF-8 text; NUL separates documents')
    parser.add_argument('--out', type=Path, required=True, help='.npz to write')
    parser.add_argument('--layers', type=int, nargs='*', default=list(TAPS), help='layers to tap (0-based)')
    parser.add_argument('--window', type=int, default=1024, help='tokens run together')
    parser.add_argument('--limit', type=int, default=100_000, help='at most this many tokens')
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    model = load_target()
    ids = Tokenizer().encode(args.text.read_bytes(), eot=True)[:args.limit].astype(np.int64)
    parts: dict[str, list[np.ndarray]] = {'hidden': [], **{f'layer{j}': [] for j in args.layers}}
    for at in range(0, len(ids), args.window):
        h, _, taps = model.trunk(torch.from_numpy(ids[at:at + args.window])[None], args.layers)
        model.forget()
        parts['hidden'].append((h.float() * model.norm).numpy().astype(np.float16))
        for j, tap in zip(sorted(args.layers), taps):
            parts[f'layer{j}'].append(tap.numpy().astype(np.float16))
    np.savez_compressed(args.out, ids=ids, **{k: np.concatenate(v) for k, v in parts.items()})
    print(f'{args.out}: {len(ids)} tokens, layers {args.layers}')


if __name__ == '__main__':
    main()
