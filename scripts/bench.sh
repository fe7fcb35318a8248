#!/usr/bin/env bash
# Benchmarks on this machine; the figures go to benches/runs/. More options: see benches/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/common.sh
source scripts/lib/install.sh

install_postgresql
install_c_compiler
install_rivals

cargo build --release --locked -p raidb
cargo run --release --locked -p benches -- \
    --seconds "${BENCH_SECONDS:-20}" --runs "${BENCH_RUNS:-3}" \
    --raidb "$(release_binary raidb)" "$@"
