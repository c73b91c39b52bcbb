#!/usr/bin/env bash
# Runs a development node: scripts/dev.sh PORT NAME [UPLINK]
# NAME is foo or foo@host. UPLINK is where other nodes are found, once nodes form clusters.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "usage: $0 PORT NAME [UPLINK]    (for example: $0 4000 foo)" >&2
    exit 2
fi
port=$1 name=$2
case $name in *@*) ;; *) name=$name@localhost ;; esac
if [ $# -eq 3 ]; then
    echo "note: this version runs single nodes, so the uplink $3 is not used" >&2
fi
cargo build --locked --release --quiet
exec target/release/smache serve --http "127.0.0.1:$port" --node "$name" --demo
