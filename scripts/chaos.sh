#!/usr/bin/env bash
# Has clients note all they are told by real nodes under two faults at a time, and judges it:
#   scripts/chaos.sh [MINUTES] [SEED]
# 10 minutes and a seed of the time if nothing is said; exit code 1 if a promise was broken. A seed
# repeats the plan of faults, not the moment at which a process does what is asked of it.
# NODES is how many there are (3 or 5, default 3), KINDS which faults (default all, as crash,drain),
# ROUND the first round of the seed. The program is target/release/smache where that is built.
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=${1:-10}
seed=${2:-$(date +%s)}
nodes=${NODES:-3}
if ! [[ $minutes =~ ^[0-9]+$ && $seed =~ ^[0-9]+$ && $nodes =~ ^[2-9]$ ]] || [ $# -gt 2 ]; then
    echo "usage: [NODES=3|5] [KINDS=crash,drain] [ROUND=N] $0 [MINUTES] [SEED]" >&2
    exit 2
fi
program=${SMACHE_PROGRAM:-${CARGO_TARGET_DIR:-$PWD/target}/release/smache}
[ ! -x "$program" ] || export SMACHE_PROGRAM=$program
export SMACHE_CHAOS_MINUTES=$minutes SMACHE_CHAOS_SEED=$seed SMACHE_CHAOS_NODES=$nodes
[ -z "${KINDS:-}" ] || export SMACHE_CHAOS_KINDS=$KINDS
[ -z "${ROUND:-}" ] || export SMACHE_CHAOS_ROUND=$ROUND

echo "$minutes minutes, seed $seed, $nodes nodes of ${SMACHE_PROGRAM:-the build that tests make}"
test=checker::what_was_acknowledged_stays_so_under_two_faults_at_a_time
cargo test --locked --quiet --test cluster -- --exact "$test" --nocapture || exit 1
