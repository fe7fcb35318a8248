//! The store on a real, bare PostgreSQL, and through the real proxy on three members.

mod claim;
mod election;
mod fixture;
mod once;
mod proxy;
mod queue;
mod relay;
mod schema;
mod tls;
mod topic;
