//! See `raidb_fuzz::wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raidb_fuzz::wire::run(data));
