//! What a statement is: from its text and the lead's catalog to a [`analysis::Analysis`].
//!
//! The way of a statement: [`split`] cuts a simple query's text, [`analyse()`] judges one statement by its tokens
//! ([`lexer`]) and the parser's tree, [`rows`] builds what followers get for captured rows, [`key_hash`] makes the
//! footprint when parameters are known ([`literals`] finds the constants), [`skeleton`] tells which texts share an
//! analysis. [`images`] is for writes that no text tells of. [`catalog_query`] reads the facts that all this rests on.

mod analyse;
pub mod analysis;
pub mod catalog;
pub mod catalog_query;
#[cfg(test)]
mod documented;
pub mod filled;
pub mod footprint;
mod functions;
pub mod images;
pub mod key_hash;
pub mod lexer;
pub mod literals;
pub mod parametrised;
pub mod route;
pub mod rows;
pub mod skeleton;
pub mod split;
#[cfg(test)]
mod testing;
mod text;

pub use analyse::{Settings, analyse, column_of_setting, run_unproven, start_setting};
pub use functions::may_mean_now;
pub use text::{quote_ident, quote_qualified};
