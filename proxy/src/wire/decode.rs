//! Reading control messages out of exactly one frame. Every access is checked: a malformed message is an
//! [`Malformed`], never a panic (pgwire's codec panics on some: CRATES.md §1c).

use bytes::{Bytes, BytesMut};

/// A message that is not what its type says (08P01).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {message} message: {problem}")]
pub struct Malformed {
    /// Name of the message.
    pub message: &'static str,
    /// What is wrong.
    pub problem: &'static str,
}

/// A reader over a frame's body that keeps positions, so that parts can be shared without copying.
struct Body<'a> {
    frame: &'a Bytes,
    at: usize,
    message: &'static str,
}

impl<'a> Body<'a> {
    fn new(frame: &'a Bytes, message: &'static str) -> Self {
        Body { frame, at: 5, message }
    }

    fn fail<T>(&self, problem: &'static str) -> Result<T, Malformed> {
        Err(Malformed { message: self.message, problem })
    }

    fn rest(&self) -> &'a [u8] {
        self.frame.get(self.at..).unwrap_or(&[])
    }

    fn cstr(&mut self) -> Result<Bytes, Malformed> {
        match self.rest().iter().position(|b| *b == 0) {
            Some(n) => {
                let text = self.frame.slice(self.at..self.at + n);
                self.at += n + 1;
                Ok(text)
            }
            None => self.fail("a string does not end"),
        }
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        match self.rest().first() {
            Some(b) => {
                self.at += 1;
                Ok(*b)
            }
            None => self.fail("too short"),
        }
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        match self.rest() {
            [a, b, ..] => {
                self.at += 2;
                Ok(u16::from_be_bytes([*a, *b]))
            }
            _ => self.fail("too short"),
        }
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        match self.rest() {
            [a, b, c, d, ..] => {
                self.at += 4;
                Ok(i32::from_be_bytes([*a, *b, *c, *d]))
            }
            _ => self.fail("too short"),
        }
    }

    fn skip(&mut self, n: usize) -> Result<(), Malformed> {
        if self.rest().len() < n {
            return self.fail("a value is longer than the message");
        }
        self.at += n;
        Ok(())
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.rest().is_empty() { Ok(()) } else { self.fail("bytes behind its end") }
    }
}

/// `Q`.
///
/// # Errors
/// The text does not end, or bytes follow it.
pub fn query(frame: &Bytes) -> Result<Bytes, Malformed> {
    let mut body = Body::new(frame, "Query");
    let text = body.cstr()?;
    body.end()?;
    Ok(text)
}

/// `P`.
#[derive(Clone, Debug)]
pub struct Parse {
    /// Statement name.
    pub name: Bytes,
    /// Statement text.
    pub text: Bytes,
    /// Count and oids of parameter types, raw.
    pub types: Bytes,
}

/// # Errors
/// Malformed.
pub fn parse(frame: &Bytes) -> Result<Parse, Malformed> {
    let mut body = Body::new(frame, "Parse");
    let (name, text) = (body.cstr()?, body.cstr()?);
    let at = body.at;
    let count = body.u16()?;
    body.skip(usize::from(count) * 4)?;
    body.end()?;
    Ok(Parse { name, text, types: frame.slice(at..) })
}

/// `B`.
#[derive(Clone, Debug)]
pub struct Bind {
    /// Portal name.
    pub portal: Bytes,
    /// Statement name.
    pub statement: Bytes,
    /// Everything behind the names: formats, values, result formats.
    pub tail: Bytes,
}

/// # Errors
/// Malformed.
pub fn bind(frame: &Bytes) -> Result<Bind, Malformed> {
    let mut body = Body::new(frame, "Bind");
    let (portal, statement) = (body.cstr()?, body.cstr()?);
    let at = body.at;
    let formats = body.u16()?;
    body.skip(usize::from(formats) * 2)?;
    for _ in 0..body.u16()? {
        let length = body.i32()?;
        match usize::try_from(length) {
            Ok(n) => body.skip(n)?,
            Err(_) if length == -1 => {}
            Err(_) => return body.fail("a value has a negative length"),
        }
    }
    let results = body.u16()?;
    body.skip(usize::from(results) * 2)?;
    body.end()?;
    Ok(Bind { portal, statement, tail: frame.slice(at..) })
}

/// One parameter value of a Bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// In binary format.
    pub binary: bool,
    /// The value; `None` is NULL.
    pub value: Option<&'a [u8]>,
}

/// Values of a Bind's tail that [`bind`] has checked.
#[must_use]
pub fn bind_parameters(tail: &[u8]) -> Vec<Parameter<'_>> {
    let u16_at = |at: usize| tail.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    let formats = usize::from(u16_at(0));
    let format_of = |n: usize| match formats {
        0 => false,
        1 => u16_at(2) == 1,
        _ => u16_at(2 + 2 * n) == 1,
    };
    let mut at = 2 + 2 * formats;
    let count = usize::from(u16_at(at));
    at += 2;
    let mut values = Vec::with_capacity(count);
    for n in 0..count {
        let length = tail.get(at..at + 4).map_or(-1, |b| i32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        at += 4;
        let value = usize::try_from(length).ok().and_then(|length| tail.get(at..at + length));
        at += value.map_or(0, <[u8]>::len);
        values.push(Parameter { binary: format_of(n), value });
    }
    values
}

/// `D` and `C` of a client: what is named.
#[derive(Clone, Debug)]
pub enum Named {
    /// A prepared statement.
    Statement(Bytes),
    /// A portal.
    Portal(Bytes),
}

/// Describe or Close.
///
/// # Errors
/// Malformed.
pub fn named(frame: &Bytes, message: &'static str) -> Result<Named, Malformed> {
    let mut body = Body::new(frame, message);
    let kind = body.u8()?;
    let name = body.cstr()?;
    body.end()?;
    match kind {
        b'S' => Ok(Named::Statement(name)),
        b'P' => Ok(Named::Portal(name)),
        _ => body.fail("names neither a statement (S) nor a portal (P)"),
    }
}

/// `E` of a client: portal and row limit.
///
/// # Errors
/// Malformed.
pub fn execute(frame: &Bytes) -> Result<(Bytes, i32), Malformed> {
    let mut body = Body::new(frame, "Execute");
    let portal = body.cstr()?;
    let rows_max = body.i32()?;
    body.end()?;
    Ok((portal, rows_max))
}

/// A field of an ErrorResponse or NoticeResponse frame.
#[must_use]
pub fn error_field(frame: &[u8], field: u8) -> Option<&[u8]> {
    let mut rest = frame.get(5..)?;
    while let [code, tail @ ..] = rest {
        if *code == 0 {
            return None;
        }
        let end = tail.iter().position(|b| *b == 0)?;
        if *code == field {
            return tail.get(..end);
        }
        rest = tail.get(end + 1..)?;
    }
    None
}

/// SQLSTATE of an ErrorResponse.
#[must_use]
pub fn sqlstate(frame: &[u8]) -> [u8; 5] {
    error_field(frame, b'C').and_then(|c| c.try_into().ok()).unwrap_or(*b"XX000")
}

/// Tag of a CommandComplete.
#[must_use]
pub fn command_tag(frame: &[u8]) -> &[u8] {
    frame.get(5..frame.len().saturating_sub(1)).unwrap_or(&[])
}

/// Row count at the end of a command tag, 0 if there is none.
#[must_use]
pub fn tag_rows(tag: &[u8]) -> u64 {
    let start = tag.iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |p| p + 1);
    tag[start..].iter().fold(0_u64, |n, b| n.saturating_mul(10).saturating_add(u64::from(b - b'0')))
}

/// Number of columns of a RowDescription or DataRow.
#[must_use]
pub fn column_count(frame: &[u8]) -> usize {
    frame.get(5..7).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])))
}

/// Bytes of the kept columns, values of the others.
pub type SplitRow<'f> = (&'f [u8], Vec<Option<&'f [u8]>>);

/// Splits the last `extra` columns off a DataRow: (bytes of the kept columns, values of the others).
/// `None` if the row is malformed.
#[must_use]
pub fn split_row(frame: &[u8], extra: usize) -> Option<SplitRow<'_>> {
    let columns = column_count(frame);
    let keep = columns.checked_sub(extra)?;
    let mut at = 7;
    let mut kept_end = 7;
    let mut values = Vec::with_capacity(extra);
    for n in 0..columns {
        if n == keep {
            kept_end = at;
        }
        let length = frame.get(at..at + 4).map(|b| i32::from_be_bytes([b[0], b[1], b[2], b[3]]))?;
        at += 4;
        let value = match usize::try_from(length) {
            Ok(length) => Some(frame.get(at..at + length)?),
            Err(_) => None,
        };
        at += value.map_or(0, <[u8]>::len);
        if n >= keep {
            values.push(value);
        }
    }
    if extra == 0 {
        kept_end = at;
    }
    Some((frame.get(7..kept_end)?, values))
}

/// Bytes of the first `keep` column descriptions of a RowDescription. `None` if it is malformed.
#[must_use]
pub fn keep_descriptions(frame: &[u8], keep: usize) -> Option<&[u8]> {
    let mut at = 7;
    for _ in 0..keep {
        let name = frame.get(at..)?.iter().position(|b| *b == 0)?;
        at += name + 1 + 18;
    }
    frame.get(7..at)
}

/// Values of a DataRow as text (for the proxy's own queries).
#[must_use]
pub fn text_row(frame: &[u8]) -> Vec<Option<String>> {
    split_row(frame, column_count(frame))
        .map(|(_, values)| values.into_iter().map(|v| v.map(|v| String::from_utf8_lossy(v).into_owned())).collect())
        .unwrap_or_default()
}

/// The ParameterStatus frames among these.
#[must_use]
pub fn reports(frames: &[u8]) -> BytesMut {
    let mut reports = BytesMut::new();
    let mut rest = frames;
    while let Some(head) = rest.get(1..5) {
        let length = 1 + u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(frame) = rest.get(..length.max(5)) else { break };
        if frame[0] == b'S' {
            reports.extend_from_slice(frame);
        }
        rest = &rest[frame.len()..];
    }
    reports
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encode;
    use bytes::BufMut;

    fn frozen(build: impl FnOnce(&mut BytesMut)) -> Bytes {
        let mut out = BytesMut::new();
        build(&mut out);
        out.freeze()
    }

    #[test]
    fn reports_are_kept_and_nothing_else() {
        let mut frames = BytesMut::new();
        encode::notice_or_error(&mut frames, b'N', &[(b'M', "a notice")]);
        encode::parameter_status(&mut frames, b"TimeZone", b"UTC");
        encode::command_complete(&mut frames, "INSERT 0 1");
        let mut wanted = BytesMut::new();
        encode::parameter_status(&mut wanted, b"TimeZone", b"UTC");
        assert_eq!(reports(&frames), wanted);
    }

    #[test]
    fn every_truncation_is_an_error_and_no_panic() {
        let frames = [
            frozen(|o| encode::query(o, &[b"select 1"])),
            frozen(|o| encode::parse(o, b"s", &[b"select $1"], &[0, 1, 0, 0, 0, 23])),
            frozen(|o| encode::bind(o, b"p", b"s", &[0, 1, 0, 1, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0])),
            frozen(|o| encode::describe(o, b'S', b"s")),
            frozen(|o| encode::execute(o, b"p", 3)),
        ];
        for frame in frames {
            for n in 5..frame.len() {
                let cut = frame.slice(..n);
                let bad = match frame[0] {
                    b'Q' => query(&cut).is_err(),
                    b'P' => parse(&cut).is_err(),
                    b'B' => bind(&cut).is_err(),
                    b'D' => named(&cut, "Describe").is_err(),
                    _ => execute(&cut).is_err(),
                };
                assert!(bad, "{frame:?} cut at {n}");
            }
        }
    }

    #[test]
    fn bytes_behind_a_query_are_refused() {
        let smuggled = frozen(|o| encode::frame(o, b'Q', |o| o.put_slice(b"select 1\0select 2\0")));
        assert!(query(&smuggled).is_err());
    }

    #[test]
    fn parameters_of_a_bind() {
        let tail = [0, 2, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 9, 0xff, 0xff, 0xff, 0xff, 0, 0];
        let parameters = bind_parameters(&tail);
        assert_eq!(parameters[0], Parameter { binary: true, value: Some(&[9]) });
        assert_eq!(parameters[1], Parameter { binary: false, value: None });
    }

    #[test]
    fn rows_split() {
        let row = frozen(|o| encode::text_row(o, &["a", "bc", "d"]));
        let (kept, values) = split_row(&row, 2).unwrap();
        assert_eq!(kept, &[0, 0, 0, 1, b'a']);
        assert_eq!(values, vec![Some(&b"bc"[..]), Some(&b"d"[..])]);
        assert_eq!(split_row(&row, 0).unwrap().0.len(), row.len() - 7);
        assert!(split_row(&row[..row.len() - 1], 1).is_none());
        // Found by fuzzing: a row without even a number of columns.
        assert!(split_row(b"D\0\0\0\x04", 0).is_none());
        assert!(text_row(b"D\0\0\0\x05\0").is_empty());
        assert_eq!(tag_rows(b"INSERT 0 17"), 17);
        assert_eq!(tag_rows(b"BEGIN"), 0);
    }
}
