//! Every scenario in its short form: `cargo test -p scenarios --test scenarios [NAME]`.
//!
//! One binary, since linking several costs more than running them.

mod activemq;
mod common;
mod front_end;
mod isolation;
mod membership;
mod pgbench;
mod write_path;
