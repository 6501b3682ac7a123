#!/bin/sh
# Runs a training script with the environment that measured fastest on a 2-core CPU (big allocations reused, no mmap; one
# OpenMP thread for each worker thread).
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 OPENBLAS_CORETYPE=SkylakeX
exec nice -n 5 "${PYTHON:-/usr/bin/python3}" "$@"
