#!/usr/bin/env bash
# Measures a cluster of real nodes as its users meet it while nodes come, go, fail and hang:
#   scripts/bench.cluster.sh [remote] [join] [far] [crash] [hang] [rolling] [replace] [busy]
# Without a word it does all of them, which takes a quarter of an hour. ROUNDS is how often each is
# done, ENTRIES how many entries there are while nodes join, BUSY for how many seconds the processors
# are kept busy. Absolute times depend on the machine; `remote` is a ratio within one run.
# ab (apt-get install apache2-utils) is used for `remote`; without it, smache bench.
set -euo pipefail
cd "$(dirname "$0")/.."

# SMACHE_PROGRAM names another build, to measure before and after in one run.
smache=${SMACHE_PROGRAM:-${CARGO_TARGET_DIR:-target}/dist/smache}
port=${PORT:-4080}
scratch=$(mktemp -d)
nodes=()

cleanup() {
    [ ${#nodes[@]} -eq 0 ] || kill -9 "${nodes[@]}" 2>/dev/null || true
    rm -rf "$scratch"
}
trap cleanup EXIT

say() { printf '\n== %s\n' "$*"; }
skip() { printf 'SKIPPED: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }
median() { sort -g | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
field() { grep -o "\"$1\":[0-9.]*" | head -1 | cut -d: -f2; }

# A node of a cluster, by its number: clients reach it at $port + number.
start_node() {
    "$smache" serve --node "node-$1" --http "127.0.0.1:$((port + $1))" --log error \
        --cluster "127.0.0.1:$((port + 10 + $1))" --join "127.0.0.1:$((port + 10))" \
        2>"$scratch/node-$1.log" &
    nodes+=($!)
    until curl -sf -o /dev/null "http://127.0.0.1:$((port + $1))/readyz"; do
        kill -0 $! || { cat "$scratch/node-$1.log" >&2; exit 1; }
    done
}

# Waits until both nodes have slots, and know whose is whose.
wait_for_two() {
    local alive=0
    until [ "$alive" -eq 4 ]; do
        alive=$({ curl -sf "http://127.0.0.1:$port/status"; curl -sf "http://127.0.0.1:$((port + 1))/status"; } |
            { grep -o '"state":"alive","slots":[1-9]' || true; } | wc -l)
    done
    sleep 1
}

# A key whose slot is node $1's, as node 0 sees it.
key_of() {
    local n=0
    until curl -sf "http://127.0.0.1:$port/explain?key=$2-$n" | grep -q "\"owner\":\"node-$1\""; do
        n=$((n + 1))
    done
    echo "$2-$n"
}

# Requests per second for one key at node 0: 900 clients, 50,000 requests, keep-alive.
load() {
    local verb=$1 key=$2 url=http://127.0.0.1:$port/api
    printf '{"key":"%s","data":{"color":"blue"}}' "$key" > "$scratch/body.json"
    local words=("$url?key=$key")
    [ "$verb" = get ] || words=(-p "$scratch/body.json" -T application/json "$url")
    ab -q -k -c 900 -n 50000 "${words[@]}" 2>/dev/null |
        awk '/^Requests per/ {print $4} /^Failed|^Non-2xx/ {if ($NF) exit 1}'
}

# The same over 10,000 keys at one node: about half of them are the other's.
spread() {
    local share=1
    [ "$1" = get ] || share=0
    "$smache" bench --url "http://127.0.0.1:$port" --clients 900 --requests 50000 --keys 10000 \
        --read-share $share --json | field requests_per_second
}

bench_remote() {
    local rounds=${ROUNDS:-5} verb place here there
    say "keys of the other node beside keys of this one: 900 clients, requests/s, median of $rounds rounds"
    ulimit -n "$(ulimit -Hn)"
    start_node 0
    start_node 1
    wait_for_two
    here=$(key_of 0 here) there=$(key_of 1 there)
    for key in "$here" "$there"; do
        curl -sf -o /dev/null "http://127.0.0.1:$port/api" -d "{\"key\":\"$key\",\"data\":{\"color\":\"blue\"}}"
    done
    has ab || skip "one key at a time: ab (apache2-utils) is not there; many keys only"
    for ((round = 0; round < rounds; round++)); do
        for verb in get post; do
            ! has ab || load $verb "$here" >> "$scratch/$verb.here"
            ! has ab || load $verb "$there" >> "$scratch/$verb.there"
            spread $verb >> "$scratch/$verb.spread"
        done
    done
    printf '%-6s %10s %10s %8s   %-14s %s\n' verb here there ratio goal 'many keys of both'
    for verb in get post; do
        here=0 there=0
        if has ab; then
            here=$(median < "$scratch/$verb.here") there=$(median < "$scratch/$verb.there")
        fi
        place=$(median < "$scratch/$verb.spread")
        awk "BEGIN {
            ratio = $here ? $there / $here : 0
            printf \"%-6s %10.0f %10.0f %8.2f   >= 0.85 %15.0f\n\", \"$verb\", $here, $there, ratio, $place
        }"
    done
    kill -9 "${nodes[@]}"
    wait "${nodes[@]}" 2>/dev/null || true
    nodes=()
}

churn() { cargo bench --locked --quiet --bench churn -- "$1"; }

[ $# -gt 0 ] || set -- remote join far crash hang rolling replace busy
cargo build --locked --profile dist --quiet
for section in "$@"; do
    case $section in
        remote) bench_remote ;;
        join | far | crash | hang | rolling | replace | busy) churn "$section" ;;
        *)
            echo "unknown section $section; allowed: remote join far crash hang rolling replace busy" >&2
            exit 2
            ;;
    esac
done
