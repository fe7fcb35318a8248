//! Clients that are not ours: psql, Python, Java, and raw bytes.

mod java;
mod program;
mod python;
mod raw;

pub use java::{Java, JavaProcess};
pub use program::{Printed, pg_dump, psql};
pub use python::run_python;
pub use raw::{Message, Raw};
