//! One connection to the endpoint, and how one comes by it.

mod backoff;
mod link;

pub(crate) use backoff::Backoff;
pub(crate) use link::{Link, Parameters};
