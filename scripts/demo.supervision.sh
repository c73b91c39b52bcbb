#!/usr/bin/env bash
# Shows supervision at work: loads data, crashes every shard under traffic, and shows the restarts
# and that every key is still there. Needs curl. PORT=… picks another port.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${PORT:-4040}
url=http://127.0.0.1:$port
keys=2000

# The node of this demonstration needs no secret, and is the only one that may be crashed.
unset SMACHE_TOKEN SMACHE_TOKEN_FILE
if curl --silent --output /dev/null "$url/livez"; then
    echo "port $port is in use; allowed: another one, as PORT=… $0" >&2
    exit 1
fi
cargo build --locked --release --quiet
smache=target/release/smache
export SMACHE_URL=$url

say() { printf '\n== %s\n' "$*"; }

"$smache" serve --http "127.0.0.1:$port" --demo --log warn &
node=$!
trap 'kill $node 2>/dev/null || true; wait $node 2>/dev/null || true' EXIT
until curl --silent --fail "$url/readyz" >/dev/null; do
    kill -0 $node 2>/dev/null || { echo "the node did not start" >&2; exit 1; }
done

entries() { curl --silent "$url/status" | grep -o '"entries":[0-9]*' | awk -F: '{n += $2} END {print n}'; }
restarts() { curl --silent "$url/metrics" | awk '/^smache_restarts_total/ {n += $2} END {print n}'; }

say "a node with its tree"
"$smache" tree

say "loading $keys keys"
for ((key = 0; key < keys; key++)); do
    printf 'url = "%s/api"\ndata = "{\\"key\\":%d,\\"data\\":{\\"n\\":%d}}"\noutput = /dev/null\n' \
        "$url" "$key" "$key"
    [ $((key + 1)) -eq $keys ] || echo next
done | curl --silent --show-error --fail-with-body --config -
echo "entries: $(entries)"

say "traffic for 6 seconds, while every shard is crashed four times"
"$smache" bench --clients 32 --duration 6s --keys 1000 --read-share 0.5 &
load=$!
for round in 1 2 3 4; do
    for shard in 0 1 2 3; do
        curl --silent --show-error --fail-with-body --output /dev/null \
            --request POST "$url/supervision/shard-$shard/crash"
    done
    echo "round $round: restarts so far: $(restarts)"
    sleep 1
done
failed=0
wait $load || failed=$?

say "the same tree, restarted"
"$smache" tree
lost=0
for ((key = 0; key < keys; key += 37)); do
    [ "$("$smache" get "$key")" = "{\"n\":$key}" ] || lost=$((lost + 1))
done
say "restarts: $(restarts); entries: $(entries), $((keys + 1000)) were written; sampled keys lost: $lost"
if [ $failed -ne 0 ] || [ $lost -ne 0 ] || [ "$(entries)" -ne $((keys + 1000)) ] || [ "$(restarts)" -lt 16 ]; then
    echo "FAILED: a request failed, a key is missing or a shard was not restarted" >&2
    exit 1
fi
echo "no request failed and no key is missing"
