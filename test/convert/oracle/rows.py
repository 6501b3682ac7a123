"""Last rows of an encoder by transformers in single precision, or the logits of its head, as JSON on stdout.

Usage: python rows.py FOLDER TOKEN [TOKEN ...]
"""

import json
import sys

import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

folder, *tokens = sys.argv[1:]
ranks = AutoConfig.from_pretrained(folder).architectures[0].endswith("ForSequenceClassification")
kind = AutoModelForSequenceClassification if ranks else AutoModel
model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
model.eval()
with torch.no_grad():
    output = model(torch.tensor([[int(token) for token in tokens]]))
rows = output.logits if ranks else output.last_hidden_state[0]
json.dump(rows.double().tolist(), sys.stdout)
