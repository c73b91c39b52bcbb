#!/usr/bin/env bash
# Runs N nodes (default 4, up to 10) as one cluster on ports 4000, 4001, …, and a load balancer on
# port 8080 where haproxy is installed. Ctrl-C drains and ends them all.
set -euo pipefail
cd "$(dirname "$0")/.."

count=${1:-4}
if ! [[ $count =~ ^[0-9]+$ ]] || [ $# -gt 1 ] || [ "$count" -lt 1 ] || [ "$count" -gt 10 ]; then
    echo "usage: $0 [N]    (1 to 10 nodes)" >&2
    exit 2
fi
cargo build --locked --release --quiet

processes=()
stop() {
    trap - EXIT INT TERM
    # The balancer first, so that nobody is sent to a node that goes.
    [ ${#processes[@]} -eq 0 ] || kill "${processes[@]}" 2>/dev/null || true
    wait
}
trap stop EXIT
trap 'exit 0' INT TERM

# Whether the node at a port is ready.
is_ready() {
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n' >&3
    local line
    read -r line <&3
    exec 3>&-
    [[ $line == *200* ]]
} 2>/dev/null

join=
for ((n = 0; n < count; n++)); do
    join+=${join:+,}127.0.0.1:$((4100 + n))
done
for ((n = 0; n < count; n++)); do
    # Its own signals: Ctrl-C reaches the nodes through this script, once.
    setsid target/release/smache serve --http "127.0.0.1:$((4000 + n))" --node "smache-$n@localhost" \
        --cluster "127.0.0.1:$((4100 + n))" --join "$join" --demo &
    processes+=($!)
    until is_ready $((4000 + n)); do
        kill -0 "${processes[-1]}" 2>/dev/null || { echo "$0: node $n did not start" >&2; exit 1; }
        sleep 0.05
    done
done
if command -v haproxy >/dev/null; then
    setsid haproxy -q -db -f scripts/haproxy.cfg &
    processes=($! "${processes[@]}")
    echo "$count nodes, balanced on http://127.0.0.1:8080; Ctrl-C ends them"
else
    echo "$count nodes, the first on http://127.0.0.1:4000; Ctrl-C ends them" >&2
    echo "SKIPPED: no load balancer, as haproxy is not installed (apt-get install haproxy)" >&2
fi
wait
