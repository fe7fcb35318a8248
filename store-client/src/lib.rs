//! A persistent message store on one PostgreSQL endpoint. Behind its URL may be raidb or a single server, and nothing here
//! changes: the store knows nothing of members.
//!
//! ```no_run
//! use std::time::Duration;
//! use store_client::{Source, Store};
//!
//! # async fn example() -> Result<(), store_client::Error> {
//! let store = Store::open("postgresql://postgres@127.0.0.1:6432/demo")?;
//! store.migrate().await?;
//!
//! let mut producer = store.session().await?;
//! producer.append("orders", "one tea, no milk").await?;
//!
//! let mut consumer = store.session().await?;
//! let orders = Source::queue("orders")?;
//! while let Some(delivery) = consumer.take(&orders, 100, Duration::from_secs(30)).await? {
//!     for message in &delivery.messages {
//!         println!("{}: {} bytes", message.id, message.size);
//!     }
//!     consumer.acknowledge(&delivery).await?;
//! }
//! producer.close().await;
//! consumer.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Who is who
//! * [`Store`] is a handle: clone it as you like, it holds no connection.
//! * [`Session`] has **one connection** and does one thing at a time (`&mut self`). As many clients at a time as there are to
//!   be, as many sessions; they may go from task to task. A session opens its connection again when it is lost.
//! * [`Unit`] is a unit of work: appended, published and acknowledged in any queues and topics, whole or not at all.
//! * [`Delivery`] is what a consumer has taken: messages under a lease. If the consumer dies they come again, with a count.
//!   What is to become of a message that comes too often is the caller's decision.
//! * [`Subscription`] is a durable one: it gets what was published since it was made, by priority, whether connected or not.
//! * [`election::Lock`] and [`election::Lease`] say which of several clients is master.
//!
//! # Order
//! A queue is read in the order of ids. Those of one session ascend; those of several sessions are in the order of time within about
//! a second. A subscription is read by priority, then by id. A message that comes again comes before what is new.
//!
//! # Exactly once
//! Every write of a session (append, publish, take, acknowledge, remove, commit) happens once or not at all, and its `Ok` is true,
//! whatever becomes of connections: behind a lost one the session asks on a new one what became of the write, by a key that excludes the
//! write if it has not committed, and only then sends it again. No answer within [`Options::retry_limit`]:
//! [`Error::is_unknown_outcome`]. How: docs/adr/0017-receipts.md. What a dropped future, or a process that ends, had asked for is outside of
//! this: its caller has not been told.
//!
//! # Limits
//! Names: [`NAME_MAX`] bytes. Bodies: [`BODY_MAX`] bytes; beyond [`INLINE_MAX`] they are stored in pieces of [`CHUNK`] bytes, and
//! [`Session::append_stream`] and [`Session::read_body`] hold one piece at a time. A page or delivery: [`PAGE_MAX`] messages. A unit:
//! [`UNIT_OPERATIONS_MAX`] messages, [`UNIT_BYTES_MAX`] bytes. Waits: [`Options`]. No TLS.

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
