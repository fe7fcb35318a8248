//! PostgreSQL clients: accept, start-up, authentication, then a session.

pub mod authentication;
pub mod listener;
pub mod startup;
