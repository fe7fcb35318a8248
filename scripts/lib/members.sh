# shellcheck shell=bash
# Local PostgreSQL members: create, start, stop. Sourced, never run.

# member_create DIR: a new, empty cluster. All members get the same encoding and collation.
member_create() {
    local dir=$1
    [[ ! -f $dir/PG_VERSION ]] || return 0
    rm -rf "$dir.new"
    as_postgres "$BIN/initdb" -D "$dir.new" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
        --data-checksums >/dev/null
    mv "$dir.new" "$dir"
}

# member_start DIR PORT: on loopback only, waits until it answers.
member_start() {
    local dir=$1 port=$2
    ! member_running "$dir" || member_stop "$dir"
    as_postgres "$BIN/pg_ctl" start -s -w -t 60 -D "$dir" -l "$dir/server.log" \
        -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200" \
        || die "member $dir did not start; see $dir/server.log"
}

member_running() { as_postgres "$BIN/pg_ctl" status -s -D "$1" >/dev/null 2>&1; }

# member_stop DIR
member_stop() {
    ! member_running "$1" || as_postgres "$BIN/pg_ctl" stop -s -w -m fast -D "$1"
}

# member_database PORT NAME: creates the database where it is missing.
member_database() {
    local found
    found=$("$BIN/psql" -XAtq -h 127.0.0.1 -p "$1" -U postgres -d postgres \
        -c "SELECT 1 FROM pg_database WHERE datname = '$2'")
    [[ $found == 1 ]] || "$BIN/createdb" -h 127.0.0.1 -p "$1" -U postgres "$2"
}
