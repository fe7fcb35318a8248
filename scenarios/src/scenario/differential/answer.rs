//! What a server answered, as lines of text: everything that a client can see, less what may differ.
//!
//! **All differences that are allowed are in this file**, each with its reason:
//!
//! * where in the server's source an error arose (fields F, L, R): no client's business, and the proxy's own errors
//!   have no such place;
//! * object ids of the user's tables and types in RowDescription and ParameterDescription: a server numbers its objects
//!   as it likes, and a refused statement takes no numbers. That there is one is compared;
//! * the numbers in the names of schemas of temporary objects and of TOAST tables (pg_temp_3, pg_toast_16824_index): the first is
//!   that of a place in the server's memory, the second an object id;
//! * the process id in NotificationResponse: each connection has another;
//! * the moment at which a notification arrives: they are compared in order, at the end of the topic.

use crate::clients::Message;

/// What the proxy says in front of the reason when it refuses.
const REFUSED: &str = "raidb does not execute this statement: ";
/// Object ids from here on are the user's.
const FIRST_USER_OID: u32 = 16_384;

/// One answer, up to ReadyForQuery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// What the client saw.
    pub(super) lines: Vec<String>,
    /// Notifications that came with it.
    pub(super) notifications: Vec<String>,
    /// Why the proxy refused, if it did.
    pub(super) refused: Option<String>,
    /// Of the last ReadyForQuery; none: the connection is lost.
    pub(super) status: Option<u8>,
}

impl Answer {
    /// Takes the next message in.
    pub(super) fn add(&mut self, message: &Message) {
        let body = &message.body;
        let line = match message.kind {
            b'T' => format!("columns {}", columns(body)),
            b't' => format!("parameters {}", parameters(body)),
            b'D' => format!("row {}", row(body)),
            b'C' => format!("tag {}", text(body)),
            b'I' => "empty query".to_owned(),
            b'E' => {
                self.note_refusal(message);
                format!("error {}", fields(body))
            }
            b'N' => format!("notice {}", fields(body)),
            b'A' => {
                self.notifications.push(escaped(body.get(4..).unwrap_or_default()));
                return;
            }
            b'S' => format!("parameter status {}", escaped(body)),
            b'Z' => {
                self.status = body.first().copied();
                format!("ready {}", escaped(body))
            }
            b'G' => format!("copy in {body:?}"),
            b'H' => format!("copy out {body:?}"),
            b'd' => format!("copy data {}", escaped(body)),
            b'c' => "copy done".to_owned(),
            b'1' => "parsed".to_owned(),
            b'2' => "bound".to_owned(),
            b'3' => "closed".to_owned(),
            b'n' => "no data".to_owned(),
            b's' => "suspended".to_owned(),
            other => format!("message {:?} {}", char::from(other), escaped(body)),
        };
        self.lines.push(line);
    }

    /// What happened to the connection in place of an answer.
    pub(super) fn end(&mut self, what: impl Into<String>) {
        self.lines.push(what.into());
        self.status = None;
    }

    /// Whether there is an error in it.
    pub(super) fn failed(&self) -> bool {
        self.lines.iter().any(|line| line.starts_with("error "))
    }

    /// SQLSTATE of the error in it.
    pub(super) fn sqlstate(&self) -> Option<&str> {
        let error = self.lines.iter().find_map(|line| line.strip_prefix("error "))?;
        error.split(' ').find_map(|field| field.strip_prefix("C="))
    }

    fn note_refusal(&mut self, message: &Message) {
        let text = message.field(b'M').unwrap_or_default();
        if let Some(reason) = text.strip_prefix(REFUSED)
            && message.field(b'C').as_deref() == Some("0A000")
        {
            self.refused.get_or_insert_with(|| reason.to_owned());
        }
    }
}

/// The fields of an ErrorResponse or NoticeResponse, in the order sent.
fn fields(body: &[u8]) -> String {
    let shown = body.split(|byte| *byte == 0).filter_map(|field| {
        let (kind, value) = field.split_first()?;
        // Where in the server's source.
        (!b"FLR".contains(kind)).then(|| format!("{}={}", char::from(*kind), unnumbered(&text(value))))
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Name and properties of each column.
fn columns(body: &[u8]) -> String {
    let mut reader = Bytes(body.get(2..).unwrap_or_default());
    let mut shown = Vec::new();
    while !reader.0.is_empty() {
        let name = text(reader.until_zero());
        let (table, number) = (oid(reader.u32()), reader.u16());
        let (kind, length, modifier, format) = (oid(reader.u32()), reader.u16(), reader.u32(), reader.u16());
        shown.push(format!("{name}(table {table} {number} type {kind} {length} {modifier} format {format})"));
    }
    shown.join(" ")
}

fn parameters(body: &[u8]) -> String {
    let mut reader = Bytes(body.get(2..).unwrap_or_default());
    let mut shown = Vec::new();
    while !reader.0.is_empty() {
        shown.push(oid(reader.u32()));
    }
    shown.join(" ")
}

/// The number of an object of the system's, or that it is the user's.
fn oid(number: u32) -> String {
    if number < FIRST_USER_OID { number.to_string() } else { "user's".to_owned() }
}

fn row(body: &[u8]) -> String {
    let mut reader = Bytes(body.get(2..).unwrap_or_default());
    let mut shown = Vec::new();
    while !reader.0.is_empty() {
        let length = reader.u32();
        shown.push(if length == u32::MAX { "NULL".to_owned() } else { format!("[{}]", escaped(reader.take(length))) });
    }
    shown.join("")
}

/// Text as it is, without the end that the protocol gives it.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(bytes)).into_owned()
}

/// The same without the numbers of the server's own objects.
fn unnumbered(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    let first =
        |text: &str| ["pg_temp_", "pg_toast_"].iter().filter_map(|name| Some((text.find(name)?, name.len()))).min();
    while let Some((place, length)) = first(rest) {
        let (before, behind) = rest.split_at(place + length);
        shown.push_str(before);
        rest = behind.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() < behind.len() {
            shown.push('N');
        }
    }
    shown + rest
}

/// Bytes on one line: text where it is text.
fn escaped(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

/// Reads a message; what is missing reads as zero, and shows in the comparison.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: u32) -> &'a [u8] {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn until_zero(&mut self) -> &'a [u8] {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let taken = &self.0[..length];
        self.0 = self.0.get(length + 1..).unwrap_or_default();
        taken
    }

    fn u32(&mut self) -> u32 {
        self.take(4).iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
    }

    fn u16(&mut self) -> u32 {
        self.take(2).iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Message {
        Message { kind, body: body.to_vec() }
    }

    #[test]
    fn an_error_shows_all_but_its_place_in_the_source() {
        let mut answer = Answer::default();
        answer.add(&message(b'E', b"SERROR\0C22012\0Mdivision by zero\0P8\0Fint.c\0L841\0Rint4div\0\0"));
        answer.add(&message(b'Z', b"E"));
        assert_eq!(answer.lines, ["error S=ERROR C=22012 M=division by zero P=8", "ready E"]);
        assert_eq!((answer.status, answer.refused), (Some(b'E'), None));
    }

    #[test]
    fn the_servers_own_numbers_are_left_out() {
        assert_eq!(
            unnumbered("index \"pg_toast_16824_index\" of pg_temp_3"),
            "index \"pg_toast_N_index\" of pg_temp_N"
        );
        assert_eq!(unnumbered("pg_temp_ and pg_temp"), "pg_temp_ and pg_temp");
    }

    #[test]
    fn a_refusal_is_one_only_with_both_code_and_words() {
        let refused = |body: &[u8]| {
            let mut answer = Answer::default();
            answer.add(&message(b'E', body));
            answer.refused
        };
        let words = b"C0A000\0Mraidb does not execute this statement: it is late\0\0";
        assert_eq!(refused(words).as_deref(), Some("it is late"));
        assert_eq!(refused(b"C0A000\0Mcannot do that\0\0"), None);
    }

    #[test]
    fn rows_and_columns_are_readable() {
        let mut answer = Answer::default();
        let mut columns = b"\0\x01id\0".to_vec();
        columns.extend_from_slice(&20_000_u32.to_be_bytes());
        columns.extend_from_slice(&[0, 1, 0, 0, 0, 23, 0, 4, 255, 255, 255, 255, 0, 0]);
        answer.add(&message(b'T', &columns));
        answer.add(&message(b'D', b"\0\x02\0\0\0\x01a\xff\xff\xff\xff"));
        assert_eq!(answer.lines[0], "columns id(table user's 1 type 23 4 4294967295 format 0)");
        assert_eq!(answer.lines[1], "row [a]NULL");
    }
}
