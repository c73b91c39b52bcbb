#!/usr/bin/env bash
# Runs a development node: scripts/dev.sh PORT NAME [UPLINK]
#   scripts/dev.sh 4000 foo                              in one shell, and
#   scripts/dev.sh 4001 bar                              in another: they find each other.
#   scripts/dev.sh 4001 smache_two@localhost localhost   the same, as Smache had it.
# NAME is foo or foo@host. A node meets others on its port plus 100, and looks for them where the
# nodes of ports 4000 to 4009 are, on UPLINK: a host or node@host (default: localhost).
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    echo "usage: $0 PORT NAME [UPLINK]    (for example: $0 4000 foo)" >&2
    exit 2
}

[ $# -ge 2 ] && [ $# -le 3 ] || usage
port=$1 name=$2 uplink=${3:-localhost}
[[ $port =~ ^[0-9]+$ ]] && [ "$port" -ge 1 ] && [ "$port" -le 65435 ] || usage
case $name in *@*) ;; *) name=$name@localhost ;; esac
uplink=${uplink##*@}
join=
for other in {4100..4109}; do
    join+=${join:+,}$uplink:$other
done
cargo build --locked --release --quiet
exec target/release/smache serve --http "127.0.0.1:$port" --node "$name" --demo \
    --cluster "127.0.0.1:$((port + 100))" --join "$join"
