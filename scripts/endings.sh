#!/usr/bin/env bash
# Ends one of two nodes in every way there is, and counts the keys that are lost: none may be.
#   scripts/endings.sh [ROUNDS [KEYS [WAY...]]]     (default: 20 rounds of each with 10,000 keys)
# PROGRAM names another build than target/debug/smache.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
if ! command -v python3 >/dev/null; then
    echo "$0: python3 is needed" >&2
    exit 2
fi
if [ -z "${PROGRAM:-}" ]; then
    cargo build --locked --quiet
    PROGRAM=target/debug/smache
fi
exec python3 scripts/endings.py "$PROGRAM" "${1:-20}" "${2:-10000}" "${@:3}"
