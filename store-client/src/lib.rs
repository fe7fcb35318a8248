//! A persistent message store on one PostgreSQL endpoint. Behind its URL may be raidb or a single server, and nothing here
//! changes: the store knows nothing of members.
mod append_once;
mod block;
mod body;
mod claim;
mod connection;
pub mod election;
mod error;
mod floor;
mod message;
mod options;
mod place;
mod queue;
mod removal;
mod rows;
mod schema;
mod session;
mod store;
mod take;
mod topic;
mod unit;

pub use claim::Delivery;
pub use error::Error;
pub use message::{BODY_MAX, Body, CHUNK, Draft, INLINE_MAX, Message, MessageId, NAME_MAX, Priority};
pub use options::Options;
pub use place::Source;
pub use queue::{PAGE_MAX, Stats};
pub use session::Session;
pub use store::Store;
pub use topic::Subscription;
pub use unit::{UNIT_BYTES_MAX, UNIT_OPERATIONS_MAX, Unit};
