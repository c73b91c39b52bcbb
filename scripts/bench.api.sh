#!/usr/bin/env bash
# Measures the native API, /v1, on real nodes:
#   scripts/bench.api.sh [cas] [batch] [puts] [list] [quota] [get]
# cas: 64 clients that count by compare-and-swap over two nodes, beside op=incr; batch: 1,000 gets in one
# call over two nodes, beside single requests, and processor time for each key; puts: 10,000 values of 1 KiB
# in one call, and how much the server grows; list: all of KEYS keys listed on three nodes while one joins
# and one drains; quota: a namespace of 16 MiB under load beside another; get: processor time of a GET at
# /v1 and at /api, in turn. Without a word all of them. SECONDS_EACH (5) is how long a load lasts, ROUNDS (3)
# how often what is compared is done, KEYS (1000000) how many are listed. SMACHE_PROGRAM names another build.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
for program in python3 wrk; do
    command -v "$program" >/dev/null || { echo "$0: $program is needed" >&2; exit 2; }
done
program=${SMACHE_PROGRAM:-${CARGO_TARGET_DIR:-target}/dist/smache}
[ -x "$program" ] || { echo "no $program; cargo build --profile dist, or set SMACHE_PROGRAM" >&2; exit 1; }
exec python3 scripts/bench.api.py "$program" "$@"
