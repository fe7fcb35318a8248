//! See `raidb_fuzz::sql`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| raidb_fuzz::sql::run(data));
