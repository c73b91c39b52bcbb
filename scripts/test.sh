#!/usr/bin/env bash
# Runs every test. Needs the Rust toolchain and nothing else; what is missing is named, not passed over.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --locked --doc --quiet
# The table's reads and writes in every interleaving, in a build of its own. The model checker is a
# dependency of that build alone.
RUSTFLAGS="--cfg smache_loom" CARGO_TARGET_DIR=target/loom \
    cargo test --locked --quiet --lib loom_tests
# The next version, for tests of rolling upgrades. It is built as the tests are, so that nothing but
# smache itself is compiled for it: a test that needs the program brings it along. It is copied, as
# the usual build takes its place.
cargo test --locked --quiet --no-run --features next-protocol --test table
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/next-protocol"
cp "$target/debug/smache" "$target/next-protocol/"
# Tests run here, too, wherever that is.
export SMACHE_NEXT_PROGRAM="$target/next-protocol/smache"
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --no-fail-fast "$@"
else
    echo "cargo-nextest is not installed: running the same tests with cargo test" >&2
    cargo test --locked --no-fail-fast --lib --bins --tests "$@"
fi
