#!/usr/bin/env bash
# Tries what is in this folder: scripts/observe/try.sh
# Three nodes under load, Prometheus over them, and every expression of the alerts and the dashboard asked
# for data. Needs prometheus and promtool (Debian: apt-get install --no-install-recommends prometheus) and
# python3. SMACHE_PROGRAM names another build than target/release/smache.
set -euo pipefail
cd "$(dirname "$0")"
program=${SMACHE_PROGRAM:-../../target/release/smache}
base=${1:-4700}
command -v prometheus > /dev/null && command -v promtool > /dev/null || {
    echo "prometheus and promtool are needed" >&2
    exit 2
}
scratch=$(mktemp -d)
pids=()
finish() {
    kill "${pids[@]}" 2> /dev/null || true
    wait 2> /dev/null || true
    rm -rf "$scratch"
}
trap finish EXIT

join=
for n in 0 1 2; do join+=${join:+,}127.0.0.1:$((base + 100 + n)); done
for n in 0 1 2; do
    "$program" serve --http "127.0.0.1:$((base + n))" --node "observed-$n" --memory 16MiB \
        --cluster "127.0.0.1:$((base + 100 + n))" --join "$join" 2> "$scratch/node-$n.log" &
    pids+=($!)
done
for n in 0 1 2; do
    for _ in {1..300}; do
        curl -sf "http://127.0.0.1:$((base + n))/readyz" > /dev/null && break
        sleep 0.1
    done
done

promtool check config --syntax-only prometheus.yml
promtool check rules alerts.yml
for n in 0 1 2; do
    curl -sf "http://127.0.0.1:$((base + n))/metrics" | promtool check metrics
done

targets=
for n in 0 1 2; do targets+=${targets:+, }\"127.0.0.1:$((base + n))\"; done
sed -e 's/\(_interval:\) .*/\1 1s/' -e "s/targets: .*/targets: [$targets]/" prometheus.yml > "$scratch/prometheus.yml"
cp alerts.yml "$scratch/"
prometheus --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/data" \
    --web.listen-address="127.0.0.1:$((base + 50))" 2> "$scratch/prometheus.log" &
pids+=($!)
# It ends with this script.
"$program" bench --url "http://127.0.0.1:$base" --clients 8 --duration 5m --read-share 0.9 > /dev/null 2>&1 &
pids+=($!)
python3 ask.py "http://127.0.0.1:$((base + 50))" dashboard.json
