//! How a transcript's entries become frames on a follower's link.

use bytes::Bytes;

use super::prepared::Prepared;
use super::transaction::{Entry, Payload};
use crate::members::pg::link::{Link, Owner};
use crate::wire::encode;

/// Followers always run READ COMMITTED (DESIGN.md §3), whatever the session's defaults say.
const FOLLOWER_BEGIN: &[u8] = b"BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE";
/// Time limits act on the lead alone.
const NO_TIME_LIMITS: &[u8] =
    b";SET LOCAL statement_timeout=0;SET LOCAL lock_timeout=0;SET LOCAL idle_in_transaction_session_timeout=0";
/// Name of the prepared BEGIN on a follower's link.
static BEGIN_NAME: Bytes = Bytes::from_static(b"raidb_begin");
/// Its identity; the session's own start at 1 and never reach it.
const BEGIN_IDENTITY: u64 = u64::MAX;

/// Writes one entry as one unit; `begin`: with BEGIN before it (and without time limits, if any are set).
pub fn write_entry(link: &mut Link, entry: &Entry, begin: Option<bool>) {
    let limits: &[u8] = if begin == Some(true) { NO_TIME_LIMITS } else { b"" };
    match &entry.payload {
        Payload::Simple(sql) => match begin {
            Some(_) => link.simple(&[FOLLOWER_BEGIN, limits, b";", sql], Owner::Follower),
            None => link.simple(&[sql], Owner::Follower),
        },
        Payload::Extended { prepared, tail } => {
            if begin.is_some() {
                write_begin(link, limits);
            }
            parse_if_unknown(link, prepared);
            encode::bind(link.out(), b"", &prepared.name, tail);
            encode::execute(link.out(), b"", 0);
            encode::bare(link.out(), b'S');
            link.unit(Owner::Follower);
        }
        Payload::Copied => {}
    }
}

/// BEGIN within the same pipeline: no extra ReadyForQuery.
fn write_begin(link: &mut Link, limits: &[u8]) {
    if !limits.is_empty() {
        link.simple(&[FOLLOWER_BEGIN, limits], Owner::Discarded);
        return;
    }
    if !link.knows(&BEGIN_NAME, BEGIN_IDENTITY) {
        if link.occupied(&BEGIN_NAME) {
            encode::close(link.out(), b'S', &BEGIN_NAME);
        }
        encode::parse(link.out(), &BEGIN_NAME, &[FOLLOWER_BEGIN], &[0, 0]);
        link.learn(BEGIN_NAME.clone(), BEGIN_IDENTITY);
    }
    encode::bind_empty(link.out(), b"", &BEGIN_NAME);
    encode::execute(link.out(), b"", 0);
}

/// Makes sure that the statement stands on the link under its own name. True if a Parse was written
/// (and, before it, a Close if `true` is the second).
pub fn parse_if_unknown(link: &mut Link, prepared: &Prepared) -> (bool, bool) {
    if link.knows(&prepared.name, prepared.identity) {
        return (false, false);
    }
    let close = link.occupied(&prepared.name);
    if close {
        encode::close(link.out(), b'S', &prepared.name);
    }
    encode::parse(link.out(), &prepared.name, &[&prepared.text], &prepared.types);
    link.learn(prepared.name.clone(), prepared.identity);
    (true, close)
}

/// After a failed unit it is not known whether what was parsed in it stands.
pub fn forget_last_parse(link: &mut Link, entry: Option<&Entry>) {
    link.forget(&BEGIN_NAME);
    if let Some(Entry { payload: Payload::Extended { prepared, .. }, .. }) = entry {
        link.forget(&prepared.name);
    }
}

/// A name as an SQL identifier.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
