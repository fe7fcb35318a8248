#!/usr/bin/env bash
# Formatting and lints. Changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/common.sh

say "formatting"
cargo fmt --all --check
say "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings
# What only a test build has.
cargo clippy --locked -p raidb --all-targets --features raidb/fault-points -- -D warnings
if command -v shellcheck >/dev/null; then
    say "scripts"
    shellcheck -x .ci/run scripts/*.sh scripts/lib/*.sh
fi
