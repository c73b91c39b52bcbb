#!/usr/bin/env bash
# Has httplint (pip install httplint) look at every kind of answer; fails on whatever it warns of.
#   scripts/httplint.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
if ! "$python" -c 'import httplint' 2>/dev/null; then
    echo "SKIPPED: no $python with httplint; answers were not linted (pip install httplint)" >&2
    exit 0
fi
program=${1:-target/debug/smache}
if [ ! -x "$program" ]; then
    cargo build --locked --bin smache
    program=target/debug/smache
fi
exec "$python" scripts/lint_answers.py "$program"
