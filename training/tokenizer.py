"""The default model's vocabulary: byte-level BPE (gpt2 byte alphabet, qwen2 split), learnt from the training text.

`tokenizer.py` learns the merges, writes vocab.json (tokens in id order, merges) and encodes the three texts to
work/*.bin (uint16 ids, each document ended by <|endoftext|>). Ids: 0..255 the bytes, then one per merge, then specials.
"""
from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import subprocess
import unicodedata
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
WORK = HERE / 'work'
SPECIALS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<|mask|>'] + [f'<|reserved_{i}|>' for i in range(12)]


def native(source: str) -> ctypes.CDLL:
    """Compile a C++ helper beside this file into work/ (when it is newer) and load it."""
    src, lib = HERE / source, WORK / (Path(source).stem + '.so')
    WORK.mkdir(exist_ok=True)
    if not lib.exists() or lib.stat().st_mtime < src.stat().st_mtime:
        tmp = lib.with_suffix('.tmp')
        subprocess.run(['g++', '-O3', '-march=native', '-mprefer-vector-width=512', '-ffast-math', '-fopenmp', '-std=c++17', '-shared', '-fPIC',
                        '-o', str(tmp), str(src)], check=True)
        tmp.rename(lib)
    return ctypes.CDLL(str(lib))


def byte_alphabet() -> list[str]:
    """The printable character that stands for each byte (GPT-2's table)."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = [''] * 256, 0
    for b in range(256):
        if b in keep:
            table[b] = chr(b)
        else:
            table[b], extra = chr(256 + extra), extra + 1
    return table


def classes() -> np.ndarray:
    """Class of every code point for the split: 0 other, 1 letter, 2 number, 3 space, 4 newline."""
    out = np.zeros(0x110000, np.uint8)
    for c in range(0x110000):
        cat = unicodedata.category(chr(c))[0]
        out[c] = 1 if cat == 'L' else 2 if cat == 'N' else 0
    for c in [9, 11, 12, 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]:
        out[c] = 3
    out[10] = out[13] = 4
    return out


class Tokenizer:
    """Encodes and decodes with a learnt vocabulary."""

    def __init__(self, vocabulary: Path = HERE / 'vocab.json') -> None:
        data = json.loads(vocabulary.read_text())
        self.tokens: list[str] = data['tokens']
        self.merges: list[str] = data['merges']
        self.pairs = np.array(data['pairs'], np.uint32).reshape(-1, 2)
        self.specials = {s: i for i, s in enumerate(self.tokens) if s in SPECIALS}
        self.eot, self.mask = self.specials['<|endoftext|>'], self.specials['<|mask|>']
        back = {ch: b for b, ch in enumerate(byte_alphabet())}
        self.bytes = [s.encode() if s in self.specials else bytes(back[c] for c in s) for s in self.tokens]
        self.lib, self.table = native('bpe.cpp'), classes()
        self.lib.bpe_classes(self.table.ctypes.data_as(ctypes.c_void_p))
        self.lib.bpe_encode.restype = ctypes.c_size_t

    def encode(self, data: bytes, eot: bool = False) -> np.ndarray:
        """Ids of UTF-8 text; with eot, NUL-separated documents each ended by <|endoftext|>."""
        out = np.empty(len(data) + 1 + data.count(b'\0'), np.uint16)
        n = self.lib.bpe_encode(data, ctypes.c_size_t(len(data)), self.pairs.ctypes.data_as(ctypes.c_void_p),
                                len(self.pairs), self.eot if eot else -1, out.ctypes.data_as(ctypes.c_void_p))
        return out[:n].copy()

    def decode(self, ids: list[int]) -> str:
        """Text of ids; invalid UTF-8 is replaced."""
        return b''.join(self.bytes[i] for i in ids).decode('utf-8', 'replace')


def learn(size: int, data: bytes, vocabulary: Path) -> None:
    """Learn the merges from NUL-separated documents and write the vocabulary's file."""
    lib, table = native('bpe.cpp'), classes()
    lib.bpe_classes(table.ctypes.data_as(ctypes.c_void_p))
    want = size - 256 - len(SPECIALS)
    pairs = np.zeros((want, 2), np.uint32)
    got = lib.bpe_train(data, ctypes.c_size_t(len(data)), want, pairs.ctypes.data_as(ctypes.c_void_p))
    if got != want:
        raise SystemExit(f'the text gives only {got} merges of {want}')
    tokens = byte_alphabet()
    merges = []
    for a, b in pairs.tolist():
        merges.append(f'{tokens[a]} {tokens[b]}')
        tokens.append(tokens[a] + tokens[b])
    tokens += SPECIALS
    text = json.dumps({'tokens': tokens, 'merges': merges, 'pairs': pairs.ravel().tolist()}, ensure_ascii=True)
    vocabulary.write_text(text + '\n')


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=6144, help='vocabulary size with bytes and specials')
    parser.add_argument('--keep', action='store_true', help='do not learn anew; only encode with vocab.json')
    args = parser.parse_args()
    if not args.keep:
        learn(args.size, (WORK / 'train.txt').read_bytes(), HERE / 'vocab.json')
    tok = Tokenizer()
    for name in ['train', 'heldout-ts', 'heldout-md']:
        data = (WORK / f'{name}.txt').read_bytes()
        ids = tok.encode(data, eot=True)
        ids.tofile(WORK / f'{name}.bin')
        print(f'{name}: {len(data)} bytes, {len(ids)} tokens, {len(data) / len(ids):.3f} bytes a token, '
              f'sha256 {hashlib.sha256(ids.tobytes()).hexdigest()}')


if __name__ == '__main__':
    main()
