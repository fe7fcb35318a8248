//! Messages of the extended protocol, decoded, with their frames.

use bytes::Bytes;

use crate::wire::decode::{self, Bind, Malformed, Named, Parse};

/// One message.
#[derive(Clone, Debug)]
pub enum Message {
    /// Parse.
    Parse(Parse, Bytes),
    /// Bind.
    Bind(Bind, Bytes),
    /// Describe.
    Describe(Named, Bytes),
    /// Execute: portal, row limit.
    Execute(Bytes, i32, Bytes),
    /// Close.
    Close(Named, Bytes),
    /// Flush.
    Flush,
    /// Sync.
    Sync,
}

impl Message {
    /// Its type byte.
    #[must_use]
    pub fn tag(&self) -> u8 {
        match self {
            Message::Parse(..) => b'P',
            Message::Bind(..) => b'B',
            Message::Describe(..) => b'D',
            Message::Execute(..) => b'E',
            Message::Close(..) => b'C',
            Message::Flush => b'H',
            Message::Sync => b'S',
        }
    }
}

/// Reads a frame of one of these types.
///
/// # Errors
/// Malformed.
pub fn decode_message(frame: &Bytes) -> Result<Message, Malformed> {
    Ok(match frame[0] {
        b'P' => Message::Parse(decode::parse(frame)?, frame.clone()),
        b'B' => Message::Bind(decode::bind(frame)?, frame.clone()),
        b'D' => Message::Describe(decode::named(frame, "Describe")?, frame.clone()),
        b'E' => {
            let (portal, rows_max) = decode::execute(frame)?;
            Message::Execute(portal, rows_max, frame.clone())
        }
        b'C' => Message::Close(decode::named(frame, "Close")?, frame.clone()),
        b'H' => Message::Flush,
        _ => Message::Sync,
    })
}
