#!/usr/bin/env bash
# Runs seeds of the simulation, optimised (SEEDS=100000 SEED=1 PLANTED=none); stops at the first that fails, with its last events.
set -euo pipefail
cd "$(dirname "$0")/.."

exec cargo run --release --locked -p simulation --bin simulate -- run \
    --seed "${SEED:-1}" --seeds "${SEEDS:-100000}" --planted "${PLANTED:-none}" --threads "$(nproc)" "$@"
