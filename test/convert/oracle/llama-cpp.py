"""Differences between a GGUF file and what llama.cpp's converter makes of the same checkpoint, a line each on stdout.

Names of the pre-tokenizer are not compared: the converter knows real vocabularies by their hashes.
Usage: python llama-cpp.py LLAMA_CPP CHECKPOINT GGUF
"""

import logging
import sys
import tempfile
from pathlib import Path

import numpy
import torch

llama_cpp, checkpoint, ours = (Path(arg) for arg in sys.argv[1:4])
sys.path[:0] = [str(llama_cpp / "gguf-py"), str(llama_cpp)]
import conversion  # noqa: E402
import conversion.base  # noqa: E402
import gguf  # noqa: E402

logging.disable(logging.CRITICAL)


def read(path):
    reader = gguf.GGUFReader(path)
    fields = {name: (field.types, field.contents()) for name, field in reader.fields.items()}
    tensors = {one.name: (one.tensor_type.name, one.shape.tolist(), one.data) for one in reader.tensors}
    return fields, tensors


def short(value):
    text = "none" if value is None else str(value)
    return text if len(text) < 120 else text[:117] + "..."


our_fields, our_tensors = read(ours)
pre = our_fields.get("tokenizer.ggml.pre")
conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: pre[1]
hparams = conversion.base.ModelBase.load_hparams(checkpoint, False)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "theirs.gguf")
    kind = conversion.get_model_class(hparams["architectures"][0])
    with torch.inference_mode():
        kind(checkpoint, gguf.LlamaFileType.ALL_F32, path).write()
    fields, tensors = read(path)
    for name in sorted(fields.keys() | our_fields.keys()):
        theirs, own = fields.get(name), our_fields.get(name)
        known = not name.startswith(("GGUF.", "general.")) or name == "general.architecture"
        if known and theirs != own:
            print(f"{name}: {short(theirs and theirs[1])} there, {short(own and own[1])} here")
    for name in sorted(tensors.keys() | our_tensors.keys()):
        theirs, own = tensors.get(name), our_tensors.get(name)
        if theirs is None or own is None or theirs[:2] != own[:2]:
            print(f"{name}: {theirs and theirs[:2]} there, {own and own[:2]} here")
        elif not numpy.array_equal(theirs[2], own[2]):
            print(f"{name}: other values, apart by {numpy.abs(theirs[2] - own[2]).max()}")
