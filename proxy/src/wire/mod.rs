//! The frame layer that relays PostgreSQL messages as bytes, on the client's side and on the members' side.
//!
//! A frame is one type byte, a length of 4 bytes (that counts itself) and a body. This layer finds frame
//! borders, hands out frames as slices and never decodes a row. It knows neither clients nor members.

pub mod channel;
pub mod decode;
pub mod encode;
pub mod stream;

pub use channel::{Channel, FrameHead, FrameLimit, WireError};
pub use stream::Stream;
