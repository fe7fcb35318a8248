#!/usr/bin/env bash
# Installs what the tests need, checks formatting and lints, builds the proxy, runs every test.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/common.sh
source scripts/lib/install.sh

install_postgresql
install_c_compiler
install_activemq
install_python_clients
install_node_clients

scripts/check.sh

# The tests run the binary of the profile that they are built in: one build of the dependencies, not two. It has fault points,
# which some scenarios need; every cargo call below names the feature too, or it would build the binary anew without it.
say "building the proxy"
cargo build --locked -p raidb --features raidb/fault-points
RAIDB_BIN=$(debug_binary raidb)
export RAIDB_BIN

say "tests"
if cargo nextest --version >/dev/null 2>&1; then
    # See .config/nextest.toml.
    cargo nextest run --locked --workspace --features raidb/fault-points --no-fail-fast \
        --test-threads "$((3 * $(nproc) + 1))"
    cargo test --locked --workspace --features raidb/fault-points --doc
else
    cargo test --locked --workspace --features raidb/fault-points --no-fail-fast
fi
