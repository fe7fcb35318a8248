//! One connection to the endpoint, and how one comes by it.

mod backoff;
mod endpoints;
mod link;
mod tls;

pub(crate) use backoff::Backoff;
pub(crate) use endpoints::Endpoints;
pub(crate) use link::{BEGIN, Link, Parameters};
pub(crate) use tls::read as read_url;
