"""Logits of a checkpoint by transformers, in single precision, as JSON on stdout.

Usage: python logits.py FOLDER TOKEN [TOKEN ...]
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM

folder, *tokens = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(
    folder, dtype=torch.float32, attn_implementation="eager"
)
model.eval()
with torch.no_grad():
    logits = model(torch.tensor([[int(token) for token in tokens]])).logits[0]
json.dump(logits.double().tolist(), sys.stdout)
