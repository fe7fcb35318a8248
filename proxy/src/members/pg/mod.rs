//! PostgreSQL members: connecting, links (a session's connections), cancel, maintenance.

pub mod cancel;
pub mod connect;
pub mod link;
pub mod maintenance;
pub mod target;
