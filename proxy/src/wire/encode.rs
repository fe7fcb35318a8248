//! Building control messages. Rows are never built here, only relayed.

use bytes::{BufMut, Bytes, BytesMut};

/// Appends a frame whose body is written by `body`.
pub fn frame(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    let at = out.len();
    out.put_u32(0);
    body(out);
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

fn cstr(out: &mut BytesMut, text: &[u8]) {
    out.put_slice(text);
    out.put_u8(0);
}

/// `Q`: simple query of several text pieces put together.
pub fn query(out: &mut BytesMut, pieces: &[&[u8]]) {
    frame(out, b'Q', |out| {
        for piece in pieces {
            out.put_slice(piece);
        }
        out.put_u8(0);
    });
}

/// `P`: `types` are the raw bytes behind the text (count and oids).
pub fn parse(out: &mut BytesMut, name: &[u8], text: &[&[u8]], types: &[u8]) {
    frame(out, b'P', |out| {
        cstr(out, name);
        for piece in text {
            out.put_slice(piece);
        }
        out.put_u8(0);
        out.put_slice(types);
    });
}

/// `B`: `tail` are the raw bytes behind the two names (formats, values, result formats).
pub fn bind(out: &mut BytesMut, portal: &[u8], statement: &[u8], tail: &[u8]) {
    frame(out, b'B', |out| {
        cstr(out, portal);
        cstr(out, statement);
        out.put_slice(tail);
    });
}

/// `B` without parameters, all results in text.
pub fn bind_empty(out: &mut BytesMut, portal: &[u8], statement: &[u8]) {
    bind(out, portal, statement, &[0, 0, 0, 0, 0, 0]);
}

/// `D`: `kind` is `S` or `P`.
pub fn describe(out: &mut BytesMut, kind: u8, name: &[u8]) {
    frame(out, b'D', |out| {
        out.put_u8(kind);
        cstr(out, name);
    });
}

/// `C` of a client: `kind` is `S` or `P`.
pub fn close(out: &mut BytesMut, kind: u8, name: &[u8]) {
    frame(out, b'C', |out| {
        out.put_u8(kind);
        cstr(out, name);
    });
}

/// `E` of a client.
pub fn execute(out: &mut BytesMut, portal: &[u8], rows_max: i32) {
    frame(out, b'E', |out| {
        cstr(out, portal);
        out.put_i32(rows_max);
    });
}

/// A message without a body: `S` Sync, `H` Flush, `X` Terminate, `c` CopyDone; `1 2 3 n s I` of a server.
pub fn bare(out: &mut BytesMut, tag: u8) {
    frame(out, tag, |_| {});
}

/// `f`: CopyFail.
pub fn copy_fail(out: &mut BytesMut, reason: &str) {
    frame(out, b'f', |out| cstr(out, reason.as_bytes()));
}

/// `Z`: status is `I`, `T` or `E`.
pub fn ready(out: &mut BytesMut, status: u8) {
    frame(out, b'Z', |out| out.put_u8(status));
}

/// `C` of a server: CommandComplete.
pub fn command_complete(out: &mut BytesMut, tag: &str) {
    frame(out, b'C', |out| cstr(out, tag.as_bytes()));
}

/// `S` of a server: ParameterStatus.
pub fn parameter_status(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    frame(out, b'S', |out| {
        cstr(out, name);
        cstr(out, value);
    });
}

/// `K`: BackendKeyData.
pub fn key_data(out: &mut BytesMut, pid: u32, key: u32) {
    frame(out, b'K', |out| {
        out.put_u32(pid);
        out.put_u32(key);
    });
}

/// `R` with a code and a body: authentication requests.
pub fn authentication(out: &mut BytesMut, code: u32, body: &[u8]) {
    frame(out, b'R', |out| {
        out.put_u32(code);
        out.put_slice(body);
    });
}

/// `T` and `D` of one text column: for answers that the proxy gives itself (`SHOW raidb…`).
pub fn text_row_description(out: &mut BytesMut, columns: &[&str]) {
    frame(out, b'T', |out| {
        out.put_u16(u16::try_from(columns.len()).unwrap_or(u16::MAX));
        columns.iter().for_each(|column| column_description(out, column, 25, -1));
    });
}

/// `T` of the one column of a function that returns nothing.
pub fn void_row_description(out: &mut BytesMut, column: &str) {
    frame(out, b'T', |out| {
        out.put_u16(1);
        column_description(out, column, 2278, 4);
    });
}

fn column_description(out: &mut BytesMut, name: &str, type_oid: u32, type_size: i16) {
    cstr(out, name.as_bytes());
    out.put_u32(0);
    out.put_u16(0);
    out.put_u32(type_oid);
    out.put_i16(type_size);
    out.put_i32(-1);
    out.put_u16(0);
}

/// `A` of a server: NotificationResponse.
pub fn notification(out: &mut BytesMut, pid: u32, channel: &str, payload: &str) {
    frame(out, b'A', |out| {
        out.put_u32(pid);
        cstr(out, channel.as_bytes());
        cstr(out, payload.as_bytes());
    });
}

/// See [`text_row_description`].
pub fn text_row(out: &mut BytesMut, values: &[&str]) {
    frame(out, b'D', |out| {
        out.put_u16(u16::try_from(values.len()).unwrap_or(u16::MAX));
        for value in values {
            out.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
            out.put_slice(value.as_bytes());
        }
    });
}

/// `E` or `N` with the fields that a client needs.
pub fn notice_or_error(out: &mut BytesMut, tag: u8, fields: &[(u8, &str)]) {
    frame(out, tag, |out| {
        for (code, text) in fields {
            out.put_u8(*code);
            // A zero byte would end the field early.
            cstr(out, text.replace('\0', " ").as_bytes());
        }
        out.put_u8(0);
    });
}

/// The start-up packet of protocol 3.0.
#[must_use]
pub fn startup(parameters: &[(Bytes, Bytes)]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u32(0);
    out.put_u32(196_608);
    for (name, value) in parameters {
        cstr(&mut out, name);
        cstr(&mut out, value);
    }
    out.put_u8(0);
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

/// CancelRequest.
#[must_use]
pub fn cancel_request(pid: u32, key: u32) -> [u8; 16] {
    let mut out = [0; 16];
    out[..4].copy_from_slice(&16_u32.to_be_bytes());
    out[4..8].copy_from_slice(&80_877_102_u32.to_be_bytes());
    out[8..12].copy_from_slice(&pid.to_be_bytes());
    out[12..].copy_from_slice(&key.to_be_bytes());
    out
}
