# shellcheck shell=bash
# Free loopback ports. Sourced, never run.

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port WANTED [RESERVED...]: the wanted port, or the next free one that is not reserved.
free_port() {
    local port=$1 reserved=" ${*:2} "
    while port_taken "$port" || [[ $reserved == *" $port "* ]]; do
        port=$((port + 1))
        ((port < 65536)) || die "no free port above $1"
    done
    printf '%s\n' "$port"
}
