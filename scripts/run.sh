#!/usr/bin/env bash
# Three local members and the proxy, in the foreground. Ctrl-C stops the proxy, then the members.
# The data stays in $RAIDB_RUN_DIR for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/common.sh
source scripts/lib/install.sh
source scripts/lib/ports.sh
source scripts/lib/members.sh

readonly DATABASE=demo
readonly MEMBERS=(pg1 pg2 pg3)

run_dir() {
    if [[ -n ${RAIDB_RUN_DIR:-} ]]; then
        realpath -m "$RAIDB_RUN_DIR"
    elif ((EUID == 0)); then
        printf '/var/lib/raidb-demo\n' # a place that the user postgres can reach
    else
        printf '%s/raidb-demo\n' "${XDG_STATE_HOME:-$HOME/.local/state}"
    fi
}

RUN_DIR=$(run_dir)
readonly RUN_DIR
proxy_pid=

# shellcheck disable=SC2317 # called by the EXIT trap
stop_all() {
    trap '' INT TERM HUP
    trap - EXIT
    if [[ -n $proxy_pid ]] && kill -0 "$proxy_pid" 2>/dev/null; then
        say "stopping the proxy"
        kill -TERM "$proxy_pid"
        wait "$proxy_pid" || true
    fi
    say "stopping the members"
    local member
    for member in "${MEMBERS[@]}"; do
        member_stop "$RUN_DIR/members/$member" &
    done
    wait
    say "stopped; the data is in $RUN_DIR"
}

prepare_run_dir() {
    mkdir -p "$RUN_DIR/members"
    exec 9>"$RUN_DIR/lock"
    flock -n 9 || die "another 'make run' uses $RUN_DIR; stop it, or set RAIDB_RUN_DIR"
    if ((EUID == 0)); then
        chown postgres "$RUN_DIR/members"
        as_postgres test -w "$RUN_DIR/members" ||
            die "the user postgres cannot reach $RUN_DIR; set RAIDB_RUN_DIR to a place that it can"
    fi
}

create_members() {
    local member pids=() pid
    for member in "${MEMBERS[@]}"; do
        member_stop "$RUN_DIR/members/$member" # left over from a run that was killed
        member_create "$RUN_DIR/members/$member" &
        pids+=("$!")
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || die "initdb failed in $RUN_DIR/members"
    done
}

start_members() {
    local member port wanted=5501 taken=()
    member_urls=()
    for member in "${MEMBERS[@]}"; do
        port=$(free_port "$wanted" "${taken[@]}")
        taken+=("$port")
        member_start "$RUN_DIR/members/$member" "$port" 9>&-
        member_database "$port" "$DATABASE"
        member_urls+=("postgresql://postgres@127.0.0.1:$port/$DATABASE")
        say "member $member: ${member_urls[-1]}"
        wanted=$((wanted + 1))
    done
}

write_config() {
    local i
    {
        printf '# Written by "make run" at every start.\n'
        printf '[listen]\npostgres = "127.0.0.1:%s"\nadmin = "127.0.0.1:%s"\n\n' "$port" "$admin_port"
        printf '[log]\ndir = "%s/raidb-log"\n\n' "$RUN_DIR"
        printf '[[virtual_database]]\nname = "%s"\nlevel = "raidb-1"\n' "$DATABASE"
        for i in "${!MEMBERS[@]}"; do
            printf '\n[[virtual_database.member]]\nname = "%s"\nurl = "%s"\n' \
                "${MEMBERS[i]}" "${member_urls[i]}"
        done
    } >"$RUN_DIR/raidb.toml"
}

# Asks for the status, not as a client: the proxy would log each client that comes too early.
wait_until_ready() {
    local tries status
    for ((tries = 0; tries < 300; tries++)); do
        kill -0 "$proxy_pid" 2>/dev/null || return 1
        if status=$("$RAIDB" status --admin "127.0.0.1:$admin_port" 2>/dev/null) &&
            [[ $status != *"not serving yet"* ]]; then
            return 0
        fi
        sleep 0.1
    done
    return 1
}

start_proxy() {
    local url="postgresql://postgres@127.0.0.1:$port/$DATABASE"
    "$RAIDB" run --config "$RUN_DIR/raidb.toml" 9>&- &
    proxy_pid=$!
    wait_until_ready || die "the proxy did not become ready"
    cat <<TEXT

raidb is ready. Connect with:

    psql $url

Status:  $RAIDB status --admin 127.0.0.1:$admin_port     (Ctrl-C stops everything)
Config:  $RUN_DIR/raidb.toml
Log:     $RUN_DIR/raidb-log     (the recovery log; members and their logs are in $RUN_DIR/members)

TEXT
}

install_postgresql
install_c_compiler
BIN=$(pg_bin)
RAIDB=$(release_binary raidb)
say "building the proxy"
cargo build --release --locked -p raidb

prepare_run_dir
trap stop_all EXIT
trap 'exit 0' INT TERM HUP
create_members
start_members
port=$(free_port 6432)
admin_port=$(free_port 7432 "$port")
write_config
start_proxy
status=0
wait "$proxy_pid" || status=$?
exit "$status"
