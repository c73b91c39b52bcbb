#!/usr/bin/env bash
# Sends a node a million requests that are nearly right, and checks every answer.
#   scripts/mutations.sh [REQUESTS] [SEED]
set -euo pipefail
cd "$(dirname "$0")/.."

export SMACHE_MUTATIONS=${1:-1000000}
if [ $# -gt 1 ]; then export SMACHE_MUTATIONS_SEED=$2; fi
cargo test --locked --test node mutations -- --nocapture
