//! A thin message store on one PostgreSQL endpoint. It knows nothing of members: behind the address may be raidb
//! or a single server, and nothing here changes.
//!
//! Queues hold messages with unique ids. A producer appends, a consumer pages from the front and removes what it
//! has handled. Identifiers are chosen by the client, from blocks that it leases from a counter row; the store
//! uses no sequence, clock or random value of the database, so every statement means the same on every member.
//!
//! ```no_run
//! # async fn example() -> Result<(), store_client::Error> {
//! let mut store = store_client::Store::connect("postgresql://postgres@127.0.0.1:6432/demo").await?;
//! store.create_schema().await?;
//! store.append("orders", b"one tea, no milk").await?;
//! for message in store.page("orders", None, 100).await? {
//!     println!("{}: {} bytes", message.id, message.body.len());
//!     store.remove("orders", &[message.id]).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! After an error with [`Error::is_unknown_outcome`] the write may or may not have happened. A caller that has to
//! know reserves the id first and repeats the write by [`Store::put`], which changes nothing the second time:
//!
//! ```no_run
//! # async fn example(url: &str) -> Result<(), store_client::Error> {
//! # let mut store = store_client::Store::connect(url).await?;
//! let id = store.reserve().await?;
//! if let Err(error) = store.put("orders", id, b"two coffees").await {
//!     if !error.is_unknown_outcome() && !error.is_retryable() {
//!         return Err(error);
//!     }
//!     store = store_client::Store::connect(url).await?;
//!     store.put("orders", id, b"two coffees").await?;
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod lease;
mod message;
mod schema;
mod store;

pub use error::Error;
pub use message::{Message, MessageId};
pub use store::Store;
