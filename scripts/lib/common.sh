# shellcheck shell=bash
# What every script needs: messages, the repository's root, the postgres account.
# Sourced, never run.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly REPO

say() { printf '==> %s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# The folder with initdb, pg_ctl and pgbench: $PG_BIN, Debian's newest, or the PATH's.
pg_bin() {
    local found
    if [[ -n ${PG_BIN:-} ]]; then
        printf '%s\n' "$PG_BIN"
        return
    fi
    found=$(find /usr/lib/postgresql -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
    [[ -n $found ]] || found=$(pg_config --bindir 2>/dev/null | sed 's|$|/initdb|')
    [[ -n $found && -x $found ]] || return 1
    dirname "$found"
}

# PostgreSQL refuses to run as root: there, members belong to the user postgres.
as_postgres() {
    if ((EUID == 0)); then
        (cd / && runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

# Path of a binary of the dev profile, honouring CARGO_TARGET_DIR.
debug_binary() {
    local target=${CARGO_TARGET_DIR:-$REPO/target}
    [[ $target == /* ]] || target=$REPO/$target
    printf '%s/debug/%s\n' "$target" "$1"
}

# Path of a binary of the release profile.
release_binary() {
    local target=${CARGO_TARGET_DIR:-$REPO/target}
    [[ $target == /* ]] || target=$REPO/$target
    printf '%s/release/%s\n' "$target" "$1"
}
