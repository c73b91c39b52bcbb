#!/usr/bin/env bash
# Measures a node as its users meet it, beside the systems to compare with, in one run:
#   scripts/bench.sh [--json FILE] [--against FILE] [cpu] [load] [start] [crash] [silent] [facade] [table]
#                    [hits] [memory]
# --json has `cpu` written to a file, and --against compares it with such a file of an earlier run, by what
# nginx took in each: exit code 1 if something has risen by more than 5 %.
# Without a word it does the first six; the last three are of the table alone and take minutes.
# Absolute times depend on the machine; the ratios are what counts. wrk and nginx are needed for
# `cpu`, ab for `load` (apt-get install wrk nginx-light apache2-utils); what is missing is said.
set -euo pipefail
cd "$(dirname "$0")/.."

# SMACHE_PROGRAM names another build, to measure before and after in one run.
smache=${SMACHE_PROGRAM:-target/dist/smache}
port=${PORT:-4070}
url=http://127.0.0.1:$port
rounds=${ROUNDS:-5}
scratch=$(mktemp -d)
node=
nginx_is_up=

cleanup() {
    [ -z "$node" ] || kill "$node" 2>/dev/null || true
    [ -z "$nginx_is_up" ] || nginx -c "$scratch/nginx.conf" -s stop 2>/dev/null || true
    rm -rf "$scratch"
}
trap cleanup EXIT

say() { printf '\n== %s\n' "$*"; }
skip() { printf 'SKIPPED: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }
median() { sort -g | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
field() { grep -o "\"$1\":[0-9.]*" | head -1 | cut -d: -f2; }

start_node() {
    "$smache" serve --http "127.0.0.1:$port" --log error "$@" 2>"$scratch/node.log" &
    node=$!
    until answers "$port"; do kill -0 "$node" || { cat "$scratch/node.log" >&2; exit 1; }; done
}

stop_node() {
    kill "$node"
    wait "$node" || true
    node=
}

# Whether the health check at a port is answered.
answers() {
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n' >&3
    local line
    read -r line <&3
    exec 3>&-
    [[ $line == *200* ]]
} 2>/dev/null

# Nanoseconds of processor time that all threads of the processes have used.
cpu_ns() {
    local total=0 file ns
    for process in "$@"; do
        for file in /proc/"$process"/task/*/schedstat; do
            read -r ns _ < "$file"
            total=$((total + ns))
        done
    done
    echo "$total"
}

# Microseconds of processor time per request: what the processes $2 use while wrk asks.
cpu_per_request() {
    local name=$1 processes=$2 before after requests
    shift 2
    # shellcheck disable=SC2086
    before=$(cpu_ns $processes)
    wrk -t2 -c64 -d3s "$@" > "$scratch/wrk.out"
    # shellcheck disable=SC2086
    after=$(cpu_ns $processes)
    if grep -q 'Non-2xx' "$scratch/wrk.out"; then
        cat "$scratch/wrk.out" >&2
        exit 1
    fi
    requests=$(awk '/requests in/ {print $1}' "$scratch/wrk.out")
    awk "BEGIN {print ($after - $before) / $requests / 1000}" >> "$scratch/$name"
}

bench_cpu() {
    say "server CPU per request, µs, 64 keep-alive connections, median of $rounds rounds"
    if ! has wrk || ! has nginx; then
        skip "cpu: wrk and nginx are needed"
        return
    fi
    start_node
    local data='{"color":"blue","msg":"0123456789012345678901234567890123456789"}'
    curl -sf "$url/api" -d "{\"key\":\"key-0001\",\"data\":$data}" >/dev/null
    cat > "$scratch/nginx.conf" <<CONF
worker_processes $(nproc); pid $scratch/nginx.pid; error_log $scratch/nginx.log;
events { worker_connections 1024; }
http {
    access_log off; keepalive_requests 1000000000; client_body_temp_path $scratch/b;
    proxy_temp_path $scratch/p; fastcgi_temp_path $scratch/f; uwsgi_temp_path $scratch/u;
    scgi_temp_path $scratch/s;
    server {
        listen 127.0.0.1:$((port + 1)) reuseport;
        location / { default_type application/json; return 200 '$(curl -sf "$url/api?key=key-0001")'; }
    }
}
CONF
    cat > "$scratch/post.lua" <<'LUA'
wrk.method = "POST"
local n = 0
request = function()
    n = n + 1
    local body = '{"key":"key-%04d","data":{"color":"blue","msg":"%040d"}}'
    return wrk.format(nil, "/api", nil, string.format(body, n % 1000, n))
end
LUA
    nginx -c "$scratch/nginx.conf"
    nginx_is_up=yes
    local master workers
    until [ -s "$scratch/nginx.pid" ]; do :; done
    master=$(cat "$scratch/nginx.pid")
    workers=$(cat "/proc/$master/task/$master/children")
    for ((round = 0; round < rounds; round++)); do
        cpu_per_request nginx "$workers" "http://127.0.0.1:$((port + 1))/"
        cpu_per_request get "$node" "$url/api?key=key-0001"
        cpu_per_request health "$node" "$url/"
        cpu_per_request post "$node" -s "$scratch/post.lua" "$url/api"
    done
    nginx -c "$scratch/nginx.conf" -s stop 2>/dev/null
    nginx_is_up=
    stop_node
    local nginx get health post
    nginx=$(median < "$scratch/nginx") get=$(median < "$scratch/get")
    health=$(median < "$scratch/health") post=$(median < "$scratch/post")
    awk "BEGIN {
        printf \"nginx, constant of the same size  %6.2f\n\", $nginx
        printf \"GET of a cached key               %6.2f   %.2f x nginx\n\", $get, $get / $nginx
        printf \"health check                      %6.2f   %.2f x nginx\n\", $health, $health / $nginx
        printf \"POST of a new value               %6.2f   %.2f x GET\n\", $post, $post / $get
    }"
    local figures="{\"nginx\":$nginx,\"get\":$get,\"health\":$health,\"post\":$post}"
    [ -z "$json" ] || echo "$figures" > "$json"
    [ -z "$against" ] || compare "$figures"
}

# Compares the figures of `cpu` with those of an earlier run, each as a multiple of what nginx took then.
compare() {
    local name now before rises=0
    for name in get health post; do
        now=$(awk "BEGIN {print $(field $name <<< "$1") / $(field nginx <<< "$1")}")
        before=$(awk "BEGIN {print $(field $name < "$against") / $(field nginx < "$against")}")
        awk "BEGIN {
            change = ($now / $before - 1) * 100
            printf \"%-8s %6.3f x nginx, before %6.3f: %+.1f %%\n\", \"$name\", $now, $before, change
            exit (5 < change)
        }" || rises=1
    done
    [ $rises -eq 0 ] || exit_code=1
}

# Requests per second of Smache's own load, by ab, its own tool, or by ours where ab is missing.
smaches_load() {
    case $1 in
        health) set -- "$url/" --health ;;
        get) set -- "$url/api?key=some_key" --read-share 1 ;;
        post) set -- "-p $scratch/body.json -T application/json $url/api" --read-share 0 ;;
    esac
    if has ab; then
        # shellcheck disable=SC2086
        ab -q -k -c 900 -n 50000 $1 2>/dev/null | awk '/^Requests per/ {print $4} /^Failed|^Non-2xx/ {if ($NF) exit 1}'
    else
        shift
        "$smache" bench --url "$url" --clients 900 --requests 50000 --json "$@" | field requests_per_second
    fi
}

bench_load() {
    say "Smache's load: 900 clients, 50,000 requests, keep-alive; requests/s, median of $rounds rounds"
    has ab || skip "ab (apache2-utils), the tool the original was measured with; smache bench instead"
    ulimit -n "$(ulimit -Hn)"
    start_node
    local body='{"key":"some_key","data":{"color":"blue"}}'
    printf '%s' "$body" > "$scratch/body.json"
    curl -sf "$url/api" -d "$body" >/dev/null
    for ((round = 0; round < rounds; round++)); do
        for kind in health get post; do
            smaches_load $kind >> "$scratch/load.$kind"
        done
    done
    stop_node
    local health post get
    health=$(median < "$scratch/load.health") post=$(median < "$scratch/load.post")
    get=$(median < "$scratch/load.get")
    awk "BEGIN {
        printf \"health check  %7.0f            (Smache 30,540)\n\", $health
        printf \"GET           %7.0f   %.2f x   (Smache 26,595, 0.87 x)\n\", $get, $get / $health
        printf \"POST          %7.0f   %.2f x   (Smache 23,411, 0.77 x)\n\", $post, $post / $health
    }"
}

bench_start() {
    say "start and idle"
    local began
    for ((round = 0; round < rounds; round++)); do
        began=$(date +%s%N)
        start_node
        echo $((($(date +%s%N) - began) / 1000)) >> "$scratch/start"
        [ $((round + 1)) -eq "$rounds" ] || stop_node
    done
    local before after rss
    sleep 1
    before=$(cpu_ns "$node")
    sleep 10
    after=$(cpu_ns "$node")
    rss=$(awk '/VmRSS/ {print $2}' "/proc/$node/status")
    stop_node
    awk "BEGIN {
        printf \"start to first answer   %.1f ms (median of $rounds)\n\", $(median < "$scratch/start") / 1000
        printf \"resident memory, idle   %.1f MiB\n\", $rss / 1024
        printf \"CPU in 10 s, idle       %.2f ms\n\", ($after - $before) / 1e6
    }"
}

bench_crash() {
    say "shards crashed under load"
    start_node --demo
    "$smache" bench --url "$url" --clients 64 --duration 8s --keys 10000 --read-share 0.5 \
        --json > "$scratch/crash.json" &
    local load=$! failed=0 crashes=0
    sleep 1
    for _ in 1 2 3 4 5; do
        for shard in 0 1 2 3; do
            curl -sf -o /dev/null -X POST "$url/supervision/shard-$shard/crash"
            crashes=$((crashes + 1))
            sleep 0.2
        done
        # The budget bears 20 restarts in 10 s; this is all of them.
    done
    wait $load || failed=$?
    local entries restarts
    entries=$(curl -sf "$url/status" | grep -o '"entries":[0-9]*' | awk -F: '{n += $2} END {print n}')
    restarts=$(curl -sf "$url/metrics" | awk '/^smache_restarts_total/ {n += $2} END {print n}')
    stop_node
    echo "crashes $crashes, restarts $restarts, requests $(field answered < "$scratch/crash.json"), failed requests $([ $failed -eq 0 ] && echo 0 || echo "SOME (exit $failed)")"
    echo "keys written 10000, keys there $entries; longest request $(field max < "$scratch/crash.json") µs"
}

bench_silent() {
    say "1,000 silent connections"
    ulimit -n "$(ulimit -Hn)"
    start_node
    local load=(bench --url "$url" --clients 64 --duration 4s --keys 1000 --json)
    "$smache" "${load[@]}" > "$scratch/without.json"
    local fds=() fd began
    began=$(date +%s%N)
    for ((n = 0; n < 1000; n++)); do
        exec {fd}<>"/dev/tcp/127.0.0.1/$port"
        # Half of them stop in the middle of a header.
        [ $((n % 2)) -eq 0 ] || printf 'GET / HTTP/1.1\r\nhos' >&"$fd"
        fds+=("$fd")
    done
    "$smache" "${load[@]}" > "$scratch/with.json"
    until curl -sf "$url/metrics" | grep -q 'http_timed_out_total 1000'; do
        [ $((($(date +%s%N) - began) / 1000000000)) -lt 20 ] || { echo "not all were closed" >&2; break; }
    done
    echo "all closed after $((($(date +%s%N) - began) / 1000000)) ms"
    for fd in "${fds[@]}"; do exec {fd}>&-; done
    stop_node
    echo "others without them: $(field requests_per_second < "$scratch/without.json") requests/s, p99 $(field p99 < "$scratch/without.json") µs"
    echo "others beside them:  $(field requests_per_second < "$scratch/with.json") requests/s, p99 $(field p99 < "$scratch/with.json") µs"
}

bench_facade() {
    say "10,000 records written, then read, through the facade in one process (Smache 15 to 18 ms)"
    cargo bench --locked --quiet --bench facade -- --quiet 2>/dev/null | grep -E 'time:|batches|one by one'
}

# The table beside papaya; its pauses while it evicts and expires.
bench_table() {
    say "the table: GET beside papaya, PUT at steady eviction, growth from 1 M to 10 M entries"
    cargo bench --locked --quiet --bench table
    say "reads while the writer evicts at full speed"
    cargo bench --locked --quiet --bench latency
    say "1 M entries that end in the same second"
    cargo bench --locked --quiet --bench expiry
}

# Traces are files of one key a line, gzip or plain: TRACES='a.txt.gz b.txt' scripts/bench.sh hits
bench_hits() {
    say "hit ratio in %, ours beside LRU, moka, quick_cache and the optimum"
    # shellcheck disable=SC2086
    cargo bench --locked --quiet --bench hit_ratio -- ${TRACES:-}
}

bench_memory() {
    say "resident bytes per entry (Pogocache 127, Valkey 137, memcached 156, Redis 172)"
    cargo bench --locked --quiet --bench memory
    say "resident memory under mixed sizes, 60 s"
    cargo bench --locked --quiet --bench memory -- churn 60
}

json='' against='' exit_code=0
while [[ ${1:-} == --* ]]; do
    case $1 in
        --json) json=${2:?--json needs a file} ;;
        --against)
            against=${2:?--against needs a file}
            [ -r "$against" ] || { echo "cannot read $against" >&2; exit 2; }
            ;;
        *) echo "unknown option $1; allowed: --json FILE, --against FILE" >&2; exit 2 ;;
    esac
    shift 2
done
cargo build --locked --profile dist --quiet
for section in "${@:-all}"; do
    case $section in
        cpu | load | start | crash | silent | facade | table | hits | memory) "bench_$section" ;;
        all) for each in cpu load start crash silent facade; do "bench_$each"; done ;;
        *)
            echo "unknown section $section; allowed: cpu load start crash silent facade table hits memory" >&2
            exit 2
            ;;
    esac
done
exit $exit_code
