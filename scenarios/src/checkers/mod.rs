//! What is looked at after a run, always on each member directly, never through the proxy.

mod hang_report;
mod member_equality;
mod schema;

pub use hang_report::hang_report;
pub use member_equality::{EqualityOptions, members_equal};
