"""A small GGUF v3 writer and reader: metadata, F32 and Q8_0 tensors, and reading of F16, BF16 and I32. Knows no model."""
from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np

ALIGN = 32
TYPES = {'u32': 4, 'i32': 5, 'f32': 6, 'bool': 7, 'str': 8}
FORMATS = {0: 'B', 1: 'b', 2: 'H', 3: 'h', 4: 'I', 5: 'i', 6: 'f', 7: '?', 10: 'Q', 11: 'q', 12: 'd'}
SIZES = {kind: struct.calcsize(form) for kind, form in FORMATS.items()}
PLAIN = {0: '<f4', 1: '<f2', 26: '<i4', 30: '<u2'}
F32, F16, Q8_0, I32, BF16 = 0, 1, 8, 26, 30
Meta = dict[str, tuple[str, object]]


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack('<Q', len(raw)) + raw


def _scalar(kind: str, value: object) -> bytes:
    if kind == 'str':
        return _string(str(value))
    return struct.pack('<' + FORMATS[TYPES[kind]], value)


def quantise_q8_0(w: np.ndarray) -> np.ndarray:
    """Rows [n, k] to Q8_0 bytes [n, k/32*34]: one f16 scale and 32 int8 each block."""
    if w.shape[1] % 32:
        raise ValueError(f'row length {w.shape[1]} is not a multiple of 32')
    blocks = w.astype(np.float32).reshape(-1, 32)
    d = np.abs(blocks).max(1) / 127
    inv = np.where(d > 0, 1 / np.where(d > 0, d, 1), 0)
    x = blocks * inv[:, None]
    q = np.trunc(x + np.copysign(0.5, x)).astype(np.int8)
    out = np.empty((len(blocks), 34), np.uint8)
    out[:, :2] = d.astype(np.float16)[:, None].view(np.uint8)
    out[:, 2:] = q.view(np.uint8)
    return out.reshape(w.shape[0], -1)


def write(path: Path, meta: Meta, tensors: dict[str, np.ndarray], q8: bool = True,
          copied: dict[str, bytes] | None = None) -> int:
    """Write a file: 1-d arrays and routers as F32, matrices and stacks of them as Q8_0 (F32 without q8). Meta values are
    (type, value), 'arr:<type>' for lists; `copied` are entries of another file, from `entries`. Returns the file's size."""
    copied = copied or {}
    head = struct.pack('<4sIQQ', b'GGUF', 3, len(tensors), len(meta) + len(copied))
    for key, entry in copied.items():
        head += _string(key) + entry
    for key, (kind, value) in meta.items():
        head += _string(key)
        if kind.startswith('arr:'):
            item = kind[4:]
            head += struct.pack('<IIQ', 9, TYPES[item], len(value)) + b''.join(_scalar(item, v) for v in value)
        else:
            head += struct.pack('<I', TYPES[kind]) + _scalar(kind, value)
    blobs, offset = [], 0
    for name, array in tensors.items():
        quantised = q8 and array.ndim >= 2 and not name.endswith('.ffn_gate_inp.weight')
        rows = array.reshape(-1, array.shape[-1]) if quantised else array
        data = (quantise_q8_0(rows) if quantised else array.astype('<f4')).tobytes()
        head += _string(name) + struct.pack('<I', array.ndim)
        head += b''.join(struct.pack('<Q', n) for n in reversed(array.shape))
        head += struct.pack('<IQ', Q8_0 if quantised else F32, offset)
        blobs.append(data + b'\0' * (-len(data) % ALIGN))
        offset += len(blobs[-1])
    head += b'\0' * (-len(head) % ALIGN)
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(path.name + '.tmp')
    tmp.write_bytes(head + b''.join(blobs))
    os.replace(tmp, path)
    return path.stat().st_size


def entries(path: Path, prefix: str) -> dict[str, bytes]:
    """Metadata whose key begins with `prefix`, with type and value as they stand in the file."""
    raw, found = path.read_bytes(), {}
    count, at = struct.unpack_from('<Q', raw, 16)[0], 24

    def skip(kind: int, at: int) -> int:
        if kind == 8:
            return at + 8 + struct.unpack_from('<Q', raw, at)[0]
        if kind != 9:
            return at + SIZES[kind]
        item, n = struct.unpack_from('<IQ', raw, at)
        at += 12
        if item not in (8, 9):
            return at + n * SIZES[item]
        for _ in range(n):
            at = skip(item, at)
        return at

    for _ in range(count):
        begin = skip(8, at)
        key = raw[at + 8:begin].decode()
        end = skip(struct.unpack_from('<I', raw, begin)[0], begin + 4)
        if key.startswith(prefix):
            found[key] = raw[begin:end]
        at = end
    return found


def read(path: Path) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Metadata and tensors (shape outermost first) of a file: F32, F16 and Q8_0 as floats, BF16 as its 16 bits, I32."""
    raw, at = path.read_bytes(), 0

    def take(fmt: str) -> tuple:
        nonlocal at
        out = struct.unpack_from('<' + fmt, raw, at)
        at += struct.calcsize('<' + fmt)
        return out

    def text() -> str:
        nonlocal at
        (n,) = take('Q')
        at += n
        return raw[at - n:at].decode()

    def value(kind: int) -> object:
        if kind == 8:
            return text()
        if kind == 9:
            item, n = take('IQ')
            return [value(item) for _ in range(n)]
        return take(FORMATS[kind])[0]

    magic, version, count, keys = take('4sIQQ')
    if magic != b'GGUF' or version != 3:
        raise ValueError(f'{path} is not GGUF v3')
    meta: dict[str, object] = {}
    for _ in range(keys):
        key = text()
        meta[key] = value(take('I')[0])
    infos = []
    for _ in range(count):
        name = text()
        (nd,) = take('I')
        shape = tuple(reversed(take(f'{nd}Q')))
        infos.append((name, shape, *take('IQ')))
    base, out = at + (-at % ALIGN), {}
    for name, shape, kind, offset in infos:
        n = int(np.prod(shape))
        if kind in PLAIN:
            out[name] = np.frombuffer(raw, PLAIN[kind], n, base + offset).reshape(shape)
        elif kind != Q8_0:
            raise ValueError(f'{path}: {name} has type {kind}')
        else:
            blocks = np.frombuffer(raw, np.uint8, n // 32 * 34, base + offset).reshape(-1, 34)
            d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
            out[name] = (blocks[:, 2:].view(np.int8) * d).reshape(shape).astype(np.float32)
    return meta, out
