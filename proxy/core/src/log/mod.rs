//! The recovery log as bytes.

mod position;

pub use position::Position;
