#!/usr/bin/env bash
# Runs every test. Needs the Rust toolchain and nothing else; what is missing is named, not passed over.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --locked --doc --quiet
# The table's reads and writes in every interleaving, in a build of its own. The model checker is a
# dependency of that build alone.
RUSTFLAGS="--cfg smache_loom" CARGO_TARGET_DIR=target/loom \
    cargo test --locked --quiet --lib loom_tests
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --no-fail-fast "$@"
else
    echo "cargo-nextest is not installed: running the same tests with cargo test" >&2
    cargo test --locked --no-fail-fast --lib --bins --tests "$@"
fi
