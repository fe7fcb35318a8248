//! HTTP for operators and monitoring. It has no login of its own: keep it on loopback or behind one.
//!
//! | route | answer |
//! |---|---|
//! | `GET /status` | the [`Status`] as JSON |
//! | `GET /metrics` | the same in the text format of Prometheus |
//! | `GET /health/live` | 200 while the process answers |
//! | `POST /members/DATABASE/MEMBER/disable` (`enable`, `rebuild?from=DONOR`) | 200 and what was done, or 409 and why not; needs the header `x-raidb: operator` |
//! | `POST /members/DATABASE/MEMBER/add`, a [`NewMember`] as JSON | the same |
//! | `GET /health/ready` | 200 if every virtual database has an enabled member, else 503 |
//!
//! It knows a [`StatusSource`] and [`Operations`], and nothing else of the proxy.

mod http;
mod metrics;
mod status;

#[cfg(test)]
mod http_test;

pub use http::{router, serve};
pub use status::{
    Counters, LogStatus, MemberAction, MemberStatus, NewMember, Operations, Role, Status, StatusSource,
    VirtualDatabaseStatus,
};
