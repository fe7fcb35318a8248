#!/usr/bin/env bash
# `message-store bench` on one bare PostgreSQL and on three members behind raidb, in turns; medians and ratios
# (BENCH_SECONDS=5 a part, BENCH_RUNS=3, BENCH_CLIENTS="1 8"). Everything lies in a temporary folder that goes at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/common.sh
source scripts/lib/install.sh
source scripts/lib/ports.sh
source scripts/lib/members.sh

install_postgresql
install_c_compiler
BIN=$(pg_bin)
say "building"
# One by one, as scripts/run.sh builds the proxy: together they have other features, and it would be built twice.
cargo build --release --locked -p store-client
STORE=$(release_binary message-store)

# On a disk, where the user postgres can reach it.
DIR=$(mktemp -d /var/tmp/raidb-bench-store.XXXXXX)
chmod 755 "$DIR"
if ((EUID == 0)); then
    mkdir "$DIR/bare" && chown postgres "$DIR/bare"
else
    mkdir "$DIR/bare"
fi
run_pid=

# shellcheck disable=SC2317 # called by the EXIT trap
stop_all() {
    trap - EXIT
    if [[ -n $run_pid ]] && kill -0 "$run_pid" 2>/dev/null; then
        kill -TERM "$run_pid"
        wait "$run_pid" || true
    fi
    member_stop "$DIR/bare/data"
    rm -rf "$DIR"
}
trap stop_all EXIT
trap 'exit 1' INT TERM HUP

RAIDB_RUN_DIR="$DIR/raidb" scripts/run.sh >"$DIR/run.log" 2>&1 &
run_pid=$!
until grep -q 'raidb is ready' "$DIR/run.log"; do
    kill -0 "$run_pid" 2>/dev/null || die "members or proxy did not start: $(tail -5 "$DIR/run.log")"
    sleep 0.2
done
RAIDB_URL=$(grep -oE 'psql postgresql://\S+' "$DIR/run.log" | head -1 | cut -d' ' -f2)
member_create "$DIR/bare/data"
port=$(free_port 5601)
member_start "$DIR/bare/data" "$port"
member_database "$port" demo
BARE_URL="postgresql://postgres@127.0.0.1:$port/demo"

for ((run = 1; run <= ${BENCH_RUNS:-3}; run++)); do
    for clients in ${BENCH_CLIENTS:-1 8}; do
        for endpoint in "bare $BARE_URL" "raidb $RAIDB_URL"; do
            read -r label url <<<"$endpoint"
            say "run $run: $label, $clients clients"
            "$STORE" --url "$url" bench --clients "$clients" --seconds "${BENCH_SECONDS:-5}s" --label "$label" --json \
                2>/dev/null >>"$DIR/results"
        done
    done
done

python3 - "$DIR/results" <<'PYTHON'
import collections, json, statistics, sys

parts = {"append": "append one by one", "append_batch": "append in batches", "append_and_acknowledge": "append + take + acknowledge"}
rates, tails = collections.defaultdict(list), collections.defaultdict(list)
for line in open(sys.argv[1]):
    row = json.loads(line)
    for part in parts:
        rates[row["clients"], part, row["label"]].append(row[part]["messages_per_second"])
        tails[row["clients"], part, row["label"]].append(row[part]["p99_ms"])
print("| messages a second | clients | bare | p99 ms | raidb, 3 members | p99 ms | ratio |")
print("|---|---:|---:|---:|---:|---:|---:|")
for part, name in parts.items():
    for clients in sorted({key[0] for key in rates}):
        bare, raidb = (statistics.median(rates[clients, part, label]) for label in ("bare", "raidb"))
        slow, slower = (statistics.median(tails[clients, part, label]) for label in ("bare", "raidb"))
        print(f"| {name} | {clients} | {bare:.0f} | {slow:.1f} | {raidb:.0f} | {slower:.1f} | {raidb / bare:.2f} |")
PYTHON
