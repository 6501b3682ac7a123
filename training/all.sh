#!/bin/sh
# Everything from the pinned packages to the files of models/default. Minutes of work may be given: target, finish, own text,
# MTP, DFlash. A target that exists in work/ is trained further; remove work/target.pt to begin anew. With FROM=../models/default
# the files there are trained further instead (SEEN: millions of tokens that the target has seen).
set -e
cd "$(dirname "$0")"
from() { [ -z "$FROM" ] || echo "--from-gguf $FROM/$1"; }
python=${PYTHON:-/usr/bin/python3}
$python fetch.py
$python prepare.py
$python tokenizer.py --keep
./train.sh train.py --minutes "${1:-90}" $(from paceline-default.gguf) ${FROM:+--seen "${SEEN:-11.3}" --lr 0.008 --emb-lr 0.003}
./train.sh train.py --minutes "${2:-9}" --lr 0.007 --emb-lr 0.003 --pin 1024,1,6
$python export.py
$python check_gguf.py
./train.sh train_generate.py --minutes "${3:-6}"
# Each drafter's file is read before it is replaced: it goes on from the one of the former target.
./train.sh train_mtp.py --minutes "${4:-12}" --threads 1 $(from paceline-default-mtp.gguf) &
./train.sh train_dflash.py --minutes "${5:-50}" --threads 1 $(from paceline-default-dflash.gguf)
wait $!
$python check_drafters.py
./train.sh train_accept.py
./train.sh train_eval.py
$python licences.py
