#!/usr/bin/env bash
# Puts haproxy and nginx before two nodes that are restarted in turn, with clients that keep their
# connections, and counts what broke, was lost or was wrong:
#   scripts/proxies.sh [SECONDS]
# Needs haproxy and nginx (what is missing is skipped, and said), python3, and wrk for a load beside
# (apt-get install haproxy nginx-light wrk). Both proxies keep connections on both sides and send no
# request twice, so that a connection that is closed under a request is a failed request.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-30}
smache=${SMACHE_PROGRAM:-${CARGO_TARGET_DIR:-target}/release/smache}
port=${PORT:-4700}
scratch=$(mktemp -d)
pids=()

cleanup() {
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    [ ! -s "$scratch/nginx.pid" ] || kill "$(cat "$scratch/nginx.pid")" 2>/dev/null || true
    rm -rf "$scratch"
}
trap cleanup EXIT

has() { command -v "$1" >/dev/null 2>&1; }
skip() { printf 'SKIPPED: %s\n' "$*" >&2; }
ready() { curl -sf -o /dev/null "http://127.0.0.1:$1/readyz"; }

# Node 0 or 1.
start_node() {
    "$smache" serve --node "proxied-$1" --http "127.0.0.1:$((port + $1))" --log warn \
        --cluster "127.0.0.1:$((port + 10 + $1))" --join "127.0.0.1:$((port + 10)),127.0.0.1:$((port + 11))" \
        2>>"$scratch/node-$1.log" &
    node[$1]=$!
    pids+=($!)
    until ready $((port + $1)); do
        kill -0 ${node[$1]} || { cat "$scratch/node-$1.log" >&2; exit 1; }
    done
}

start_haproxy() {
    cat > "$scratch/haproxy.cfg" <<CONF
defaults
    mode http
    timeout connect 1s
    timeout client 75s
    timeout server 15s
    timeout check 2s
    retries 0
    option http-keep-alive
    http-reuse always
frontend all
    bind 127.0.0.1:$((port + 20))
    stats enable
    stats uri /haproxy
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk GET /readyz
    http-check send hdr host localhost
    http-check expect status 200
    default-server check inter 100ms fall 1 rise 1
    server node-0 127.0.0.1:$port
    server node-1 127.0.0.1:$((port + 1))
CONF
    haproxy -q -f "$scratch/haproxy.cfg" &
    pids+=($!)
    until ready $((port + 20)); do kill -0 $!; done
}

# nginx does not ask for /readyz: that a node is gone it finds out by a connection that is refused, and
# goes to the other one.
start_nginx() {
    cat > "$scratch/nginx.conf" <<CONF
worker_processes 1; pid $scratch/nginx.pid; error_log $scratch/nginx.log;
events { worker_connections 1024; }
http {
    access_log off; client_max_body_size 4m; client_body_buffer_size 4m; client_body_temp_path $scratch/b;
    proxy_temp_path $scratch/p; fastcgi_temp_path $scratch/f; uwsgi_temp_path $scratch/u;
    scgi_temp_path $scratch/s;
    upstream nodes {
        server 127.0.0.1:$port max_fails=0; server 127.0.0.1:$((port + 1)) max_fails=0; keepalive 64;
    }
    server {
        listen 127.0.0.1:$((port + 21));
        location / {
            proxy_pass http://nodes; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_set_header Host localhost;
        }
    }
}
CONF
    nginx -c "$scratch/nginx.conf" 2>/dev/null
    until ready $((port + 21)); do :; done
}

# Whether haproxy, if it is the proxy on this port, sends requests to both nodes.
sees_both() {
    [ "$1" != $((port + 20)) ] || (($(curl -sf "http://127.0.0.1:$1/haproxy;csv" | grep -c '^nodes,node-.*,UP,') == 2))
}

# Restarts one node after the other behind the proxy on this port, for as long as $seconds say.
restart_in_turn() {
    local until=$((SECONDS + seconds)) at=0
    restarts=0
    while ((SECONDS < until)); do
        until sees_both "$1"; do :; done
        kill "${node[$at]}"
        wait "${node[$at]}" || { echo "node $at ended with $?" >&2; cat "$scratch/node-$at.log" >&2; failed=yes; }
        start_node $at
        at=$((1 - at)) restarts=$((restarts + 1))
    done
}

# One proxy: its name and its port.
try() {
    local clients wrk=
    python3 scripts/pooled_client.py "$2" "$seconds" 8 "$1" > "$scratch/clients" 2> "$scratch/faults" &
    clients=$!
    if has wrk; then
        wrk -t1 -c16 -d"${seconds}s" "http://127.0.0.1:$2/healthcheck" > "$scratch/wrk" &
        wrk=$!
    fi
    restart_in_turn "$2"
    wait $clients || failed=yes
    printf '%-8s %2d restarts, clients: %s\n' "$1" "$restarts" "$(cat "$scratch/clients")"
    cat "$scratch/faults" >&2
    [ -n "$wrk" ] || return 0
    wait $wrk
    awk -v name="$1" '
        /requests in/ {requests = $1}
        /Socket errors/ {gsub(",", ""); broken = $4 + $6 + $8 + $10}
        /Non-2xx/ {refused = $NF}
        END {
            printf "%-8s wrk: %d requests, %d broken, %d refused\n", name, requests, broken, refused
            exit (broken + refused != 0)
        }' "$scratch/wrk" || failed=yes
}

has python3 || { skip "python3 is needed"; exit 0; }
has wrk || skip "wrk, for a load beside the clients"
declare -a node
failed=
start_node 0
start_node 1
if has haproxy; then start_haproxy; try haproxy $((port + 20)); else skip "haproxy"; fi
if has nginx; then start_nginx; try nginx $((port + 21)); else skip "nginx"; fi
[ -z "$failed" ]
