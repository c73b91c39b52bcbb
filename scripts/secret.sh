#!/usr/bin/env bash
# Writes a 256-bit cookie (between nodes) and token (for clients) to files that only you can read:
# scripts/secret.sh [DIRECTORY]. Files that are there already are left as they are.
set -euo pipefail
case ${1:-} in
    -h | --help) sed -n '2,3s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "usage: $0 [DIRECTORY]    (default: .secrets)" >&2; exit 2 ;;
esac
[ $# -le 1 ] || { echo "usage: $0 [DIRECTORY]    (default: .secrets)" >&2; exit 2; }
directory=${1:-.secrets}
umask 077
mkdir -p "$directory"

for name in cookie token; do
    file=$directory/$name
    # Fails if the file exists, so that a secret in use is never replaced by accident.
    if (set -o noclobber; od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$file") 2>/dev/null; then
        chmod 0600 "$file"
        echo "wrote $file"
    elif [ -s "$file" ]; then
        echo "kept $file"
    else
        echo "cannot write $file" >&2
        exit 1
    fi
done
