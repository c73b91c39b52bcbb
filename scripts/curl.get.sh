#!/usr/bin/env bash
# Gets the seven keys of curl.post.sh from a node: scripts/curl.get.sh PORT
set -euo pipefail
if [ $# -ne 1 ]; then
    echo "usage: $0 PORT" >&2
    exit 2
fi
url=http://localhost:$1/api

for key in 1 2 3 aa aaa abcd 'some key'; do
    curl --silent --show-error --fail-with-body --get --data-urlencode "key=$key" "$url"
    echo
done
