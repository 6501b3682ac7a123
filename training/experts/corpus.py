"""Text of five kinds for mixtures of experts: TypeScript, declarations, Markdown, style sheets, Python.

Reads the npm packages that fetch.py pins and the wheels of python.txt (fetched here by pip, with their hashes). Writes
work/experts/<kind>.train.bin and <kind>.heldout.bin (uint16 ids, each document begins with <|endoftext|>),
<kind>.heldout.txt (the same documents as text, separated by NUL bytes), <kind>.calibrate.txt (from training, to choose
experts by), vocab.json (learnt from the training text) and sources.json (which package gave how much).
Held-out text is whole packages, chosen by a hash of the name. The same packages give the same bytes.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np


HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

import prepare
import tokenizer

WORK = tokenizer.WORK / 'experts'
KINDS = ('ts', 'dts', 'md', 'css', 'py')
TRAIN, HELD_OUT, CALIBRATE = 4_500_000, 240_000, 60_000  # bytes of each kind
PACKAGE = 300_000  # bytes of each kind that one package gives at most
VOCABULARY = 2048
HOLD_OUT = 40  # of 256


def kind_of(name: str) -> str | None:
    """Which kind a file is, by its name."""
    low = name.lower()
    if low.endswith(('.css', '.scss', '.less')):
        return None if '.min.' in low else 'css'
    if low.endswith('.py'):
        return 'py'
    kind = prepare.kind_of(name)
    return {'.ts': 'ts', '.d.ts': 'dts', '.md': 'md'}.get(kind or '')


def files_of(path: Path) -> list[tuple[str, bytes]]:
    """(path, content) of the files of a tarball or wheel that are of some kind, in an order by hash."""
    out: list[tuple[str, bytes]] = []
    if path.suffix == '.whl':
        with zipfile.ZipFile(path) as wheel:
            for info in wheel.infolist():
                if wanted(info.filename, info.file_size):
                    out.append((info.filename, wheel.read(info)))
    else:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile() and wanted(member.name, member.size):
                    handle = tar.extractfile(member)
                    if handle:
                        out.append((member.name, handle.read()))
    return sorted(out, key=lambda f: hashlib.sha256(f[0].encode()).digest())


def wanted(path: str, size: int) -> bool:
    """Whether a file is text to learn from, by its path and size."""
    *folders, name = path.split('/')
    if not prepare.MIN_BYTES <= size <= prepare.MAX_BYTES or prepare.SKIP_NAMES.match(name):
        return False
    return kind_of(name) is not None and not any(f.lower() in prepare.SKIP_PARTS for f in folders)


def packages() -> list[tuple[str, str, Path]]:
    """(name, licence, file) of everything fetched, in an order by hash, so that each kind's share is mixed."""
    npm = json.loads((HERE.parent / 'manifest.json').read_text())
    found = [(e['name'], e['licence'], tokenizer.WORK / 'packages' / e['file']) for e in npm]
    wheels = tokenizer.WORK / 'wheels'
    wheels.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', '--require-hashes', '--only-binary', ':all:',
                    '--platform', 'any', '--python-version', '3.11', '-d', str(wheels), '-r', str(HERE / 'python.txt')], check=True)
    for line in (HERE / 'python.txt').read_text().splitlines():
        if line and not line.startswith('#'):
            name, version = line.split()[0].split('==')
            path = next(wheels.glob(f'{name.replace("-", "_")}-{version}-*.whl'))
            found.append((name, 'MIT or BSD', path))
    return sorted(found, key=lambda p: hashlib.sha256(p[0].encode()).digest())


def main() -> None:
    """Command line."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    seen = prepare.Seen()
    parts = {(kind, part): [] for kind in KINDS for part in ('train', 'heldout')}
    sizes = dict.fromkeys(parts, 0)
    sources = []
    for name, licence, path in packages():
        part = 'heldout' if hashlib.sha256(f'held out {name}'.encode()).digest()[0] < HOLD_OUT else 'train'
        most = HELD_OUT if part == 'heldout' else TRAIN
        given = dict.fromkeys(KINDS, 0)
        if all(sizes[kind, part] >= most for kind in KINDS):
            continue
        for file, raw in files_of(path):
            kind = kind_of(file) or ''
            if sizes[kind, part] >= most or given[kind] >= min(PACKAGE, most // 6):
                continue
            text = prepare.clean(raw)
            if text is None or seen.repeats(text):
                continue
            parts[kind, part].append(text)
            given[kind] += len(text.encode())
            sizes[kind, part] += len(text.encode())
        if any(given.values()):
            sources.append({'name': name, 'licence': licence, 'part': part, 'bytes': given})
    (WORK / 'sources.json').write_text(json.dumps(sources, indent=1) + '\n')
    vocabulary = WORK / 'vocab.json'
    learnt = '\0'.join(text for kind in KINDS for text in parts[kind, 'train'])
    tokenizer.learn(VOCABULARY, learnt.encode(), vocabulary)
    tok = tokenizer.Tokenizer(vocabulary)
    for (kind, part), texts in parts.items():
        data = '\0'.join(texts).encode()
        ids = tok.encode(data, eot=True)
        ids = np.concatenate([[tok.eot], ids[:-1]]).astype(np.uint16)  # the token that ends a document opens the next
        ids.tofile(WORK / f'{kind}.{part}.bin')
        print(f'{kind} {part}: {len(texts)} documents, {len(data)} bytes, {len(ids)} tokens, '
              f'{len(data) / len(ids):.3f} bytes a token, sha256 {hashlib.sha256(data).hexdigest()}')
        if part == 'heldout':
            (WORK / f'{kind}.heldout.txt').write_bytes(data)
            continue
        calibration, size = [], 0
        for text in texts:
            if size < CALIBRATE and len(text) < CALIBRATE // 4:
                calibration.append(text)
                size += len(text.encode())
        (WORK / f'{kind}.calibrate.txt').write_bytes('\0'.join(calibration).encode())


if __name__ == '__main__':
    main()
