#!/usr/bin/env bash
# Compares the RESP door with a real Redis, in one run on one machine:
#   scripts/bench.resp.sh
# redis-benchmark asks both in turn, ROUNDS times (3): SET and GET, 64-byte values, 50 connections, one
# request at a time and 32. Shown is the processor time of the server per operation, from what the
# scheduler has counted for all of its threads, and operations a second, medians of the rounds. REQUESTS
# (400000) is how many there are at pipeline 32; a quarter of that at pipeline 1. SMACHE_PROGRAM names
# another build.
set -euo pipefail
cd "$(dirname "$0")/.."

smache=${SMACHE_PROGRAM:-${CARGO_TARGET_DIR:-target}/dist/smache}
rounds=${ROUNDS:-3}
requests=${REQUESTS:-400000}
port=${PORT:-6390}
scratch=$(mktemp -d)
servers=()

cleanup() {
    [ ${#servers[@]} -eq 0 ] || kill -9 "${servers[@]}" 2>/dev/null || true
    rm -rf "$scratch"
}
trap cleanup EXIT

for program in redis-server redis-benchmark redis-cli; do
    command -v "$program" >/dev/null 2>&1 || { echo "SKIPPED: $program is not installed" >&2; exit 0; }
done
[ -x "$smache" ] || { echo "no $smache; cargo build --profile dist, or set SMACHE_PROGRAM" >&2; exit 1; }

wait_for() {
    until redis-cli -p "$1" ping 2>/dev/null | grep -q PONG; do
        kill -0 "$2" || exit 1
        sleep 0.05
    done
}

# Nanoseconds of processor time that all threads of a process have used.
cpu_ns() {
    local total=0 file ns
    for file in /proc/"$1"/task/*/schedstat; do
        read -r ns _ < "$file"
        total=$((total + ns))
    done
    echo "$total"
}

median() { sort -g | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

# Runs one kind of request once and writes down what it took: name, port, process, verb, pipeline, count.
measure() {
    local before after rate
    before=$(cpu_ns "$3")
    rate=$(redis-benchmark -p "$2" -c 50 -P "$5" -n "$6" -r 100000 -d 64 -t "$4" --csv |
        awk -F'"' 'NR > 1 {print $4}')
    after=$(cpu_ns "$3")
    awk -v ns=$((after - before)) -v n="$6" 'BEGIN {printf "%.3f\n", ns / n / 1000}' >> "$scratch/$1.$4.$5.cpu"
    echo "$rate" >> "$scratch/$1.$4.$5.rate"
}

redis-server --port "$port" --save "" --appendonly no --dir "$scratch" --daemonize no >/dev/null &
redis=$!
servers+=("$redis")
"$smache" serve --http off --resp "127.0.0.1:$((port + 1))" --log error &
ours=$!
servers+=("$ours")
wait_for "$port" "$redis"
wait_for "$((port + 1))" "$ours"

for _ in $(seq "$rounds"); do
    for pipeline in 1 32; do
        count=$requests
        [ "$pipeline" -ne 1 ] || count=$((requests / 4))
        for verb in set get; do
            measure redis "$port" "$redis" "$verb" "$pipeline" "$count"
            measure smache "$((port + 1))" "$ours" "$verb" "$pipeline" "$count"
        done
    done
done

printf '%-8s %-4s %8s %18s %14s\n' server verb pipeline 'server us/op' 'ops/s'
for pipeline in 1 32; do
    for verb in set get; do
        for server in redis smache; do
            printf '%-8s %-4s %8s %18s %14s\n' "$server" "$verb" "$pipeline" \
                "$(median < "$scratch/$server.$verb.$pipeline.cpu")" \
                "$(median < "$scratch/$server.$verb.$pipeline.rate")"
        done
    done
done
