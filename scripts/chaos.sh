#!/usr/bin/env bash
# Kills and freezes members and proxy under load; the table goes to $CHAOS_REPORT as well. 8 cycles of each fault take
# a few minutes. One fault alone: scripts/chaos.sh --only member_kill.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/common.sh
source scripts/lib/install.sh

install_postgresql
mkdir -p target

# RAIDB_BIN tests a binary that is there already.
if [[ -z ${RAIDB_BIN:-} ]]; then
    cargo build --release --locked -p raidb
    RAIDB_BIN=$(release_binary raidb)
fi
cargo build --locked -p scenarios
"$(debug_binary scenarios)" run chaos \
    --cycles "${CHAOS_CYCLES:-8}" --seed "${CHAOS_SEED:-1}" \
    --report "${CHAOS_REPORT:-target/chaos.md}" \
    --raidb "$RAIDB_BIN" "$@"
