//! Who of several clients is master: by a lock, or by a lease. Both have a row of their own per name.
//!
//! | | [`Lock`] | [`Lease`] |
//! |---|---|---|
//! | the master has | a row lock, in a transaction that stays open | a row with its name and an end, by the server's clock |
//! | it is over when | its connection is lost | it is not renewed in time |
//! | takeover by | who waits, as soon as the server knows that the connection is gone | who tries, when the time is up |
//! | a hung master | stays master | loses it, and can know by its own clock |
//! | its price | one connection; the open transaction holds back VACUUM of the whole database | a small write for each renewal |
//!
//! For a master that lives for long the lease is better; the lock is how `ActiveMQ`'s default locker works.

mod lease;
mod lock;

pub use lease::Lease;
pub use lock::Lock;
