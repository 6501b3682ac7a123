#!/bin/sh
# Everything from the pinned packages to the files of models/default. May be given: the target's millions of tokens, then minutes of
# work for own text, MTP, DFlash. A run that was interrupted goes on from work/target.pt; remove that to begin anew. With
# FROM=../models/default the files there are trained further (SEEN: millions of tokens that the target has seen).
set -e
cd "$(dirname "$0")"
from() { [ -z "$FROM" ] || echo "--from-gguf $FROM/$1"; }
python=${PYTHON:-/usr/bin/python3}
$python fetch.py
$python prepare.py
$python tokenizer.py --keep
./train.sh train.py --tokens "${1:-100}" $(from paceline-default.gguf) ${FROM:+--seen "${SEEN:-52.1}" --lr 0.012 --emb-lr 0.004}
$python export.py
$python check_gguf.py
./train.sh train_generate.py --minutes "${2:-6}"
# Each drafter's file is read before it is replaced: it goes on from the one of the former target.
./train.sh train_mtp.py --minutes "${3:-17}" --threads 1 $(from paceline-default-mtp.gguf) &
./train.sh train_dflash.py --minutes "${4:-19}" --threads 1 $(from paceline-default-dflash.gguf)
wait $!
$python check_drafters.py
./train.sh train_accept.py
./train.sh train_eval.py
$python licences.py
