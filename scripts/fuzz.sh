#!/usr/bin/env bash
# Each fuzz target for SECONDS (60) under libFuzzer, from its committed corpus; what it finds new stays in target/fuzz.
# cargo-fuzz wants a nightly compiler for sanitizers and for coverage: without sanitizers (safe Rust needs none) the stable one
# does, told to allow what is unstable.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/common.sh
source scripts/lib/install.sh

install_c_compiler
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz

command -v c++ >/dev/null || install_missing g++

# Optimised enough; the last percent is not worth the minutes that it costs to build.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

features() {
    if [[ $1 == wire ]]; then printf 'libfuzzer,wire\n'; else printf 'libfuzzer\n'; fi
}

readonly SECONDS_EACH=${FUZZ_SECONDS:-60}
readonly INPUT_BYTES_MAX=16384
failed=0
for target in ${FUZZ_TARGETS:-wire sql config log}; do
    say "fuzzing $target for $SECONDS_EACH s"
    grown=target/fuzz/$target
    mkdir -p "$grown"
    # An input that takes 10 s, or 2 GiB, is a finding as well.
    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz --sanitizer none --no-default-features \
        --features "$(features "$target")" "$target" "$grown" "fuzz/corpus/$target" -- \
        -max_total_time="$SECONDS_EACH" -max_len=$INPUT_BYTES_MAX -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 || failed=1
done
exit $failed
