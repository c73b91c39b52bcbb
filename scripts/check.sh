#!/usr/bin/env bash
# The gate: formatting, lints, documentation, dependencies, tests. Green before every commit.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "cargo fmt"
cargo fmt --all --check

step "cargo clippy"
cargo clippy --locked --all-targets -- -D warnings
cargo clippy --locked --lib --bins --features next-protocol -- -D warnings

step "cargo doc"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

step "shell scripts"
for script in scripts/*.sh scripts/observe/*.sh; do bash -n "$script"; done

if promtool --version >/dev/null 2>&1; then
    step "promtool"
    promtool check rules scripts/observe/alerts.yml
    promtool check config --syntax-only scripts/observe/prometheus.yml
else
    step "SKIPPED: promtool is not installed; alert rules were not checked"
fi

if cargo deny --version >/dev/null 2>&1; then
    step "cargo deny"
    cargo deny --locked check
elif cargo audit --version >/dev/null 2>&1; then
    step "cargo audit"
    cargo audit
else
    step "SKIPPED: neither cargo-deny nor cargo-audit is installed; dependencies were not checked"
fi

step "tests"
scripts/test.sh

step "httplint"
scripts/httplint.sh
