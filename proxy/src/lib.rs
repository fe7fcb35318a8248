//! raidb: one PostgreSQL endpoint over N independent databases. The shell around `raidb_core`: sockets,
//! files, tasks and time; the decisions are made there.

pub mod admin;
pub mod cli;
pub mod fault_points;
pub mod frontend;
pub mod members;
pub mod rebuild;
pub mod recovery_log;
pub mod rejoin;
pub mod route;
pub mod scrub;
pub mod server;
pub mod session;
mod time;
pub mod tls;
pub mod together;
pub mod virtual_database;
pub mod wire;
pub mod workers;
