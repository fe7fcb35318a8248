//! Comparing one table on two members: which questions narrow a difference to rows, and what the rows are.
//!
//! | file | job |
//! |---|---|
//! | `checksum` | rows of a range as a number and two sums that do not depend on order |
//! | `narrowing` | the plan: from the whole table, range by range, to rows |
//! | `difference` | rows that only one of the two holds |
//!
//! The plan asks and is answered; it knows neither SQL nor a member. The *base* is the member that is right, the *target*
//! the one that is to become like it.

mod checksum;
mod difference;
mod narrowing;
#[cfg(test)]
mod narrowing_test;

pub use checksum::Checksum;
pub use difference::{Difference, Row};
pub use narrowing::{Answer, Ask, Key, KeyRange, Narrowing, NarrowingError, Side};
