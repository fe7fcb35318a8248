//! Clients that are not ours: psql, Python, JavaScript, Java, and raw bytes.

mod environment;
mod java;
mod node;
mod program;
mod python;
mod raw;

pub use java::{Java, JavaProcess};
pub use node::run_node;
pub use program::{Printed, pg_dump, psql};
pub use python::run_python;
pub use raw::{Message, Raw};
