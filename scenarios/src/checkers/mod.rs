//! What is looked at after a run: members, always each directly and never through the proxy; and what clients were told.

mod hang_report;
pub mod isolation;
pub mod linearizable;
mod member_equality;
mod schema;

pub use hang_report::hang_report;
pub use member_equality::{Address, EqualityOptions, addresses_equal, members_equal};
