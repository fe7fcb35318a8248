# shellcheck shell=bash
# Installs Debian packages that are missing, and nothing else. Sourced, never run.
# Services that come with them are not started: the tests and the demo start their own.

readonly NO_MAIN_CLUSTER=/etc/postgresql-common/createcluster.d/raidb-install.conf
readonly POLICY=/usr/sbin/policy-rc.d

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "root is needed to run: $*"
    fi
}

package_installed() {
    [[ $(dpkg-query -W -f '${Status}' "$1" 2>/dev/null) == 'install ok installed' ]]
}

# Keeps Debian from creating and starting a cluster, or any other service, during an install.
hold_services() {
    as_root mkdir -p "$(dirname "$NO_MAIN_CLUSTER")"
    printf 'create_main_cluster = false\n' | as_root tee "$NO_MAIN_CLUSTER" >/dev/null
    HELD_POLICY=no
    if [[ ! -e $POLICY ]]; then
        HELD_POLICY=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
        as_root chmod 755 "$POLICY"
    fi
}

release_services() {
    as_root rm -f "$NO_MAIN_CLUSTER"
    [[ $HELD_POLICY == no ]] || as_root rm -f "$POLICY"
}

# install_missing PACKAGE...
install_missing() {
    local package missing=()
    for package in "$@"; do
        package_installed "$package" || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || die "please install: ${missing[*]} (only Debian's apt-get is known here)"

    say "installing ${missing[*]}"
    local log status=0
    log=$(mktemp)
    hold_services
    {
        as_root apt-get update -q &&
            as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get install -q -y --no-install-recommends "${missing[@]}"
    } >"$log" 2>&1 || status=$?
    release_services
    if ((status)); then
        tail -n 30 "$log" >&2
        die "apt-get could not install ${missing[*]}; the whole log is in $log"
    fi
    rm -f "$log"
}

install_postgresql() {
    pg_bin >/dev/null || install_missing postgresql
    pg_bin >/dev/null || die "no PostgreSQL server found; set PG_BIN to the folder with initdb"
}

install_c_compiler() {
    command -v cc >/dev/null || install_missing gcc libc6-dev
}

# The real ActiveMQ, its JDBC store and a JVM to run them.
install_activemq() {
    command -v javac >/dev/null || install_missing default-jdk-headless
    install_missing activemq libactivemq-java libpostgresql-jdbc-java \
        libcommons-dbcp-java libcommons-pool-java
}

# The packages of the clients in the scenarios, each in a folder of its own, as scenarios/src/clients/environment.rs makes
# them; made here, so that no test waits for the network. A copy of the list of packages marks a folder as complete.
readonly CLIENTS=/var/tmp/raidb-clients
readonly PYTHON_PACKAGES=$REPO/scenarios/clients/requirements.txt
readonly NODE_PACKAGES=$REPO/scenarios/clients/node/package-lock.json

install_python_clients() {
    local home=$CLIENTS/python
    ! cmp -s "$PYTHON_PACKAGES" "$home/ready" || return 0
    command -v python3 >/dev/null || install_missing python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_missing python3-venv
    say "installing psycopg, SQLAlchemy and Django into $home"
    mkdir -p "$CLIENTS"
    python3 -m venv --clear "$home"
    "$home/bin/python" -m pip install -q --disable-pip-version-check -r "$PYTHON_PACKAGES"
    cp "$PYTHON_PACKAGES" "$home/ready"
}

install_node_clients() {
    local home=$CLIENTS/node
    ! cmp -s "$NODE_PACKAGES" "$home/ready" || return 0
    command -v node >/dev/null || install_missing nodejs
    command -v npm >/dev/null || install_missing npm
    say "installing node-postgres into $home"
    mkdir -p "$home"
    cp "$(dirname "$NODE_PACKAGES")/package.json" "$NODE_PACKAGES" "$home"
    (cd "$home" && npm ci --silent --no-audit --no-fund)
    cp "$NODE_PACKAGES" "$home/ready"
}

install_rivals() {
    install_missing pgbouncer pgpool2
}
