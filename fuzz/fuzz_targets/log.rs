//! See `raidb_fuzz::log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raidb_fuzz::log::run(data));
