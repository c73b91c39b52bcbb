#!/usr/bin/env bash
# Posts seven keys to a node: scripts/curl.post.sh PORT
set -euo pipefail
if [ $# -ne 1 ]; then
    echo "usage: $0 PORT" >&2
    exit 2
fi
url=http://localhost:$1/api

post() {
    curl --silent --show-error --fail-with-body --header 'content-type: application/json' \
        --data "{\"key\":$1,\"data\":$2}" "$url"
    echo
}

post 1 '{"color":"blue"}'
post 2 '{"color":"green"}'
post 3 '{"color":"red"}'
post '"aa"' '{"color":"orange"}'
post '"aaa"' '{"color":"purple"}'
post '"abcd"' '{"color":"white"}'
post '"some key"' '{"color":"black","sizes":[1,2.50,3]}'
