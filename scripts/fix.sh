#!/usr/bin/env bash
# Repairs what scripts/check.sh finds, where a tool can.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets
cargo fmt --all
