//! Loads: clients that put work on an endpoint and count what they were told.

pub mod activemq;
mod bystander;
pub mod checked;
mod ended;
pub mod hot_rows;
pub mod list_append;
pub mod lock_forever;
pub mod model;
mod outcomes;
pub mod pgbench;
pub mod unique_inserts;

pub use bystander::Bystander;
pub use ended::Ended;
pub use outcomes::Outcomes;
