#!/bin/sh
# Everything from the pinned packages to the shipped files. Times in minutes may be given: target, finish, own text, drafters.
# A target that exists in work/ is trained further; remove work/target.pt to begin anew.
set -e
cd "$(dirname "$0")"
python3 fetch.py
python3 prepare.py
python3 tokenizer.py --keep
./train.sh train.py --minutes "${1:-90}" --loose 0.06
./train.sh train.py --minutes "${2:-9}" --lr 0.007 --emb-lr 0.003 --pin 1024,1,6
python3 export.py
python3 check_gguf.py
./train.sh train_generate.py --minutes "${3:-6}"
./train.sh train_mtp.py --minutes "${4:-12}" --threads 1 &
./train.sh train_dflash.py --minutes "${4:-12}" --threads 1
wait
./train.sh train_dflash.py --resume --minutes 3 --lr 0.005
python3 check_drafters.py
./train.sh train_accept.py
./train.sh train_eval.py
python3 licences.py
