//! One connection to the endpoint, and how one comes by it.

mod backoff;
mod endpoints;
mod link;

pub(crate) use backoff::Backoff;
pub(crate) use endpoints::Endpoints;
pub(crate) use link::{Link, Parameters};
