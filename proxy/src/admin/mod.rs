//! HTTP for operators and monitoring. Read only: it shows the system and cannot change it.
//!
//! | route | answer |
//! |---|---|
//! | `GET /status` | the [`Status`] as JSON |
//! | `GET /metrics` | the same in the text format of Prometheus |
//! | `GET /health/live` | 200 while the process answers |
//! | `GET /health/ready` | 200 if every virtual database has an enabled member, else 503 |
//!
//! It knows a [`StatusSource`] and nothing else of the proxy.

mod http;
mod metrics;
mod status;

#[cfg(test)]
mod http_test;

pub use http::{router, serve};
pub use status::{Counters, MemberStatus, Role, Status, StatusSource, VirtualDatabaseStatus};
