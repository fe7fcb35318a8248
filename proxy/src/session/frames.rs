//! How a transcript's entries become frames on a follower's link.

use bytes::Bytes;

use raidb_core::log::Position;
use raidb_core::sql::analysis::Command;

use super::prepared::Prepared;
use super::statement::Statement;
use super::transaction::{Entry, Payload};
use crate::members::pg::link::{Link, Owner, Written};
use crate::rejoin::tables::TABLES;
use crate::wire::encode;

/// Followers always run READ COMMITTED (DESIGN.md §3), whatever the session's defaults say.
const FOLLOWER_BEGIN: &[u8] = b"BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE";
/// Time limits act on the lead alone.
const NO_TIME_LIMITS: &[u8] =
    b";SET LOCAL statement_timeout=0;SET LOCAL lock_timeout=0;SET LOCAL idle_in_transaction_session_timeout=0";
/// The same, one by one.
pub(super) const TIME_LIMITS_OFF: [&[u8]; 3] =
    [b"SET LOCAL statement_timeout=0", b"SET LOCAL lock_timeout=0", b"SET LOCAL idle_in_transaction_session_timeout=0"];
/// Name of the prepared BEGIN on a follower's link.
static BEGIN_NAME: Bytes = Bytes::from_static(b"raidb_begin");
/// Its identity; the session's own start at 1 and never reach it.
const BEGIN_IDENTITY: u64 = u64::MAX;

/// What goes before the first entry of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Nothing: the transaction is open.
    None,
    /// BEGIN, where the session's defaults are what a follower runs under anyway.
    PlainBegin,
    /// BEGIN, with the modes named.
    Begin,
    /// BEGIN, and the time limits that the session has are lifted for this transaction.
    BeginWithoutLimits,
}

/// Writes entries as one unit: one packet, one ReadyForQuery. Entries of the first one's kind are taken as long as
/// `next` gives any. Returns how many were written, and how many command tags come before theirs.
pub fn write_entries<'e>(
    link: &mut Link,
    opening: Opening,
    mut next: impl FnMut(usize) -> Option<&'e Entry>,
) -> SentUnit {
    let Some(first) = next(0) else { return SentUnit::default() };
    match &first.payload {
        Payload::Simple(sql) => write_simple(link, opening, None, sql, next),
        Payload::Execute { prepared, sql } => {
            let prepare = prepare_if_unknown(link, prepared);
            write_simple(link, opening, prepare, sql, next)
        }
        Payload::Extended { prepared, tail } => {
            let hidden_tags = if opening == Opening::None { 0 } else { write_begin(link, opening) };
            let mut entries = 1;
            write_bound(link, prepared, tail);
            while let Some(Entry { payload: Payload::Extended { prepared, tail }, .. }) = next(entries) {
                write_bound(link, prepared, tail);
                entries += 1;
            }
            encode::bare(link.out(), b'S');
            link.unit(Owner::Follower);
            SentUnit { entries, hidden_tags, opens: opening != Opening::None, prepares: false }
        }
        Payload::Copied { .. } => SentUnit::default(),
    }
}

/// Writes a transaction as one unit, with its marker: what stands before a Sync is one implicit transaction.
pub fn write_whole<'p>(link: &mut Link, payloads: impl Iterator<Item = &'p Payload>, table: u8, position: Position) {
    for payload in payloads {
        match payload {
            Payload::Simple(sql) => {
                encode::parse(link.out(), b"", &[sql], &[0, 0]);
                link.forget(&Bytes::new());
                encode::bind_empty(link.out(), b"", b"");
                encode::execute(link.out(), b"", 0);
            }
            Payload::Extended { prepared, tail } => write_bound(link, prepared, tail),
            // Never all or nothing, so never here.
            Payload::Execute { .. } | Payload::Copied { .. } => {}
        }
    }
    write_mark(link, table, position);
    encode::bare(link.out(), b'S');
    link.unit(Owner::Follower);
}

/// Names of the prepared marker statements, one for each table.
static MARK_NAMES: [Bytes; TABLES as usize] =
    [Bytes::from_static(b"raidb_mark_0"), Bytes::from_static(b"raidb_mark_1")];
/// Name of the prepared COMMIT.
static LIMITS_NAME: Bytes = Bytes::from_static(b"raidb_limits");
static NO_LIMITS_NAME: Bytes = Bytes::from_static(b"raidb_no_limits");
static COMMIT_NAME: Bytes = Bytes::from_static(b"raidb_commit");
/// Its identity, and that of the markers.
const COMMIT_IDENTITY: u64 = u64::MAX - 1;
/// Type of a marker's parameter: bigint.
const MARK_TYPES: [u8; 6] = [0, 1, 0, 0, 0, 20];

/// Writes the marker and COMMIT as one unit, which members have prepared: each of both is one message less to parse. `limited`: the
/// client's time limits hold on this connection. They are for its statements: it is decided, and others commit.
pub fn write_commit(link: &mut Link, table: u8, position: Position, limited: bool) {
    if limited {
        write_no_limits(link);
    }
    // What is not in the log leaves no mark.
    if position != Position::START {
        write_mark(link, table, position);
    }
    prepare_own(link, &COMMIT_NAME, b"COMMIT", &[0, 0]);
    encode::bind_empty(link.out(), b"", &COMMIT_NAME);
    encode::execute(link.out(), b"", 0);
    encode::bare(link.out(), b'S');
    link.unit(Owner::Follower);
}

fn write_mark(link: &mut Link, table: u8, position: Position) {
    let Some(name) = MARK_NAMES.get(usize::from(table)) else { return };
    let text = format!("INSERT INTO raidb.applied_{table} (position) VALUES ($1)");
    prepare_own(link, name, text.as_bytes(), &MARK_TYPES);
    // One parameter, in the binary format; no result formats.
    let mut tail = [0_u8; 20];
    tail[..10].copy_from_slice(&[0, 1, 0, 1, 0, 1, 0, 0, 0, 8]);
    tail[10..18].copy_from_slice(&position.0.to_be_bytes());
    encode::bind(link.out(), b"", name, &tail);
    encode::execute(link.out(), b"", 0);
}

/// Nobody waits for long with somebody whose statement waits for a lock, or takes long. (PostgreSQL limits each Execute by itself.)
pub(super) fn write_limits(link: &mut Link) {
    let text = b"SELECT pg_catalog.set_config('lock_timeout', '5ms', true), pg_catalog.set_config('statement_timeout', '100ms', true)";
    prepare_own(link, &LIMITS_NAME, text, &[0, 0]);
    encode::bind_empty(link.out(), b"", &LIMITS_NAME);
    encode::execute(link.out(), b"", 0);
}

/// Lifts the time limits of the transaction.
pub(super) fn write_no_limits(link: &mut Link) {
    let text = b"SELECT pg_catalog.set_config('lock_timeout', '0', true), pg_catalog.set_config('statement_timeout', '0', true)";
    prepare_own(link, &NO_LIMITS_NAME, text, &[0, 0]);
    encode::bind_empty(link.out(), b"", &NO_LIMITS_NAME);
    encode::execute(link.out(), b"", 0);
}

/// A statement of the proxy's own stands on the link.
fn prepare_own(link: &mut Link, name: &Bytes, text: &[u8], types: &[u8]) {
    link.prepare(name, COMMIT_IDENTITY, &[text], types);
}

/// A unit that a follower owes an answer to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentUnit {
    /// Entries in it; 0: a rollback.
    pub entries: usize,
    /// Command tags before theirs.
    pub hidden_tags: usize,
    /// It opens the transaction. Nothing may be sent behind it before it is answered: if it is cancelled before its
    /// BEGIN has run, what follows would run, and commit, outside any transaction.
    pub opens: bool,
    /// A PREPARE stands before its first entry.
    pub prepares: bool,
}

fn write_simple<'e>(
    link: &mut Link,
    opening: Opening,
    prepare: Option<Bytes>,
    first: &Bytes,
    mut next: impl FnMut(usize) -> Option<&'e Entry>,
) -> SentUnit {
    let (prefix, hidden_tags): (&[&[u8]], usize) = match opening {
        Opening::None => (&[], 0),
        Opening::PlainBegin => (&[b"BEGIN;"], 1),
        Opening::Begin => (&[FOLLOWER_BEGIN, b";"], 1),
        Opening::BeginWithoutLimits => (&[FOLLOWER_BEGIN, NO_TIME_LIMITS, b";"], 1 + TIME_LIMITS_OFF.len()),
    };
    let mut pieces: Vec<&[u8]> = prefix.to_vec();
    if let Some(prepare) = &prepare {
        pieces.extend([&prepare[..], b"\n;"]);
    }
    pieces.push(first);
    let mut entries = 1;
    while let Some(sql) = next(entries).and_then(|entry| plain_text(link, &entry.payload)) {
        // A line break, since the statement before may end in a comment.
        pieces.push(b"\n;");
        pieces.push(sql);
        entries += 1;
    }
    link.simple(&pieces, Owner::Follower);
    let prepares = prepare.is_some();
    SentUnit { entries, hidden_tags: hidden_tags + usize::from(prepares), opens: opening != Opening::None, prepares }
}

/// Its text, if it can be sent as it is.
fn plain_text<'p>(link: &Link, payload: &'p Payload) -> Option<&'p Bytes> {
    match payload {
        Payload::Simple(sql) => Some(sql),
        Payload::Execute { prepared, sql } => link.knows(&prepared.name, prepared.identity).then_some(sql),
        Payload::Extended { .. } | Payload::Copied { .. } => None,
    }
}

/// What makes an EXECUTE's statement stand on the link, under its own name: to be sent right before it. `None`: it stands.
/// Something else of that name is closed at once.
pub(super) fn prepare_if_unknown(link: &mut Link, prepared: &Prepared) -> Option<Bytes> {
    let by_sql = prepared.by_sql.as_ref().filter(|_| !link.knows(&prepared.name, prepared.identity))?;
    link.close_name(&prepared.name);
    link.learn(prepared.name.clone(), prepared.identity);
    Some(by_sql.text.clone())
}

/// What must stand before this text on the link, and how many command tags it answers with: the name of a PREPARE must be
/// free, that of an EXECUTE must mean what it meant.
pub fn before_sql(link: &mut Link, statement: &Statement) -> (Bytes, usize) {
    if let Command::Prepare { name, .. } = &statement.analysis.command {
        link.close_name(&Bytes::copy_from_slice(name.as_bytes()));
    }
    match statement.executes.as_ref().and_then(|prepared| prepare_if_unknown(link, prepared)) {
        Some(text) => ([&text[..], b"\n;"].concat().into(), 1),
        None => (Bytes::new(), 0),
    }
}

fn write_bound(link: &mut Link, prepared: &Prepared, tail: &Bytes) {
    parse_if_unknown(link, prepared);
    encode::bind(link.out(), b"", &prepared.name, tail);
    encode::execute(link.out(), b"", 0);
}

/// BEGIN within the same pipeline: no extra ReadyForQuery.
fn write_begin(link: &mut Link, opening: Opening) -> usize {
    link.prepare(&BEGIN_NAME, BEGIN_IDENTITY, &[FOLLOWER_BEGIN], &[0, 0]);
    encode::bind_empty(link.out(), b"", &BEGIN_NAME);
    encode::execute(link.out(), b"", 0);
    if opening != Opening::BeginWithoutLimits {
        return 1;
    }
    for setting in TIME_LIMITS_OFF {
        encode::parse(link.out(), b"", &[setting], &[0, 0]);
        encode::bind_empty(link.out(), b"", b"");
        encode::execute(link.out(), b"", 0);
    }
    link.forget(&Bytes::new());
    1 + TIME_LIMITS_OFF.len()
}

/// Makes sure that the statement stands on the link under its own name.
pub fn parse_if_unknown(link: &mut Link, prepared: &Prepared) -> Written {
    link.prepare(&prepared.name, prepared.identity, &[&prepared.text], &prepared.types)
}

/// After a failed unit it is not known whether what was parsed in it stands.
pub fn forget_parse(link: &mut Link, entry: &Entry) {
    forget_own(link);
    if let Payload::Extended { prepared, .. } | Payload::Execute { prepared, .. } = &entry.payload {
        link.forget(&prepared.name);
    }
}

/// The same of the proxy's own statements.
pub fn forget_own(link: &mut Link) {
    link.forget(&BEGIN_NAME);
    MARK_NAMES.iter().chain([&COMMIT_NAME, &LIMITS_NAME, &NO_LIMITS_NAME]).for_each(|name| link.forget(name));
}

/// A name as an SQL identifier.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
