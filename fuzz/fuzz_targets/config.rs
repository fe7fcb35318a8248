//! See `raidb_fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raidb_fuzz::config::run(data));
