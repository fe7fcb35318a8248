//! What the analysis says of one statement. The vocabulary is DESIGN.md §4's.

use std::borrow::Cow;
use std::sync::Arc;

mod outside_blocks;

pub use outside_blocks::{ConcurrentKind, Concurrently, TwoPhase};

use super::catalog::Table;
use super::footprint::Footprint;
use crate::ids::TableId;

/// Isolation levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// READ UNCOMMITTED: PostgreSQL does as under READ COMMITTED, and shows it under its own name.
    ReadUncommitted,
    /// READ COMMITTED.
    ReadCommitted,
    /// REPEATABLE READ.
    RepeatableRead,
    /// SERIALIZABLE.
    Serializable,
}

impl Isolation {
    /// Whether the first snapshot of a transaction holds to its end.
    #[must_use]
    pub fn lasts(self) -> bool {
        matches!(self, Isolation::RepeatableRead | Isolation::Serializable)
    }
}

/// Transaction modes, as BEGIN, START TRANSACTION, SET TRANSACTION, SET SESSION CHARACTERISTICS name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionModes {
    /// ISOLATION LEVEL.
    pub isolation: Option<Isolation>,
    /// READ ONLY / READ WRITE.
    pub read_only: Option<bool>,
    /// [NOT] DEFERRABLE.
    pub deferrable: Option<bool>,
}

/// One analysed statement. It holds no value of a parameter, nor of a literal unless said otherwise: the one analysis
/// stands for all texts with the same [`super::skeleton::Skeleton`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// What it is and how it is replicated.
    pub command: Command,
    /// Relations it reads or writes, as far as named.
    pub tables: Vec<TableId>,
    /// What a strict read of it must wait for; `Everything` where unknown.
    pub read_footprint: Footprint,
    /// A read that pins its only table's primary key: with the parameters it makes a finer footprint than
    /// `read_footprint` ([`super::key_hash::footprint_of`]).
    pub read_key: Option<(Arc<Table>, FootprintHint)>,
    /// Why it has its form, or what of a read is not proven: one clause, for people. Empty where its class says it all; a
    /// refusal has a reason of its own.
    pub because: Cow<'static, str>,
    /// How many parameters (`$n`) it names at most.
    pub parameters: u16,
    /// `standard_conforming_strings` under which the text was read: its tokens are found again under the same.
    pub standard_conforming: bool,
}

/// What a statement is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Only blanks and comments.
    Empty,
    /// BEGIN or START TRANSACTION.
    Begin(TransactionModes),
    /// COMMIT or END.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// ROLLBACK or ABORT.
    Rollback {
        /// AND CHAIN.
        chain: bool,
    },
    /// SAVEPOINT name (case-folded as PostgreSQL does).
    Savepoint(String),
    /// RELEASE [SAVEPOINT] name.
    Release(String),
    /// ROLLBACK TO [SAVEPOINT] name.
    RollbackTo(String),
    /// Reads, and changes nothing.
    Read(Read),
    /// SELECT … FOR UPDATE | NO KEY UPDATE | SHARE | KEY SHARE.
    RowLock(RowLock),
    /// INSERT, UPDATE, DELETE.
    Write(Write),
    /// COPY … FROM STDIN, locked or imaged.
    CopyIn(CopyIn),
    /// Writes of which the text does not tell all: those of triggers, rules, functions, procedures.
    Imaged(Imaged),
    /// CREATE TABLE … AS, SELECT … INTO: followers get what the lead has made ([`super::filled`]).
    Fill(Fill),
    /// COPY … TO STDOUT: a read whose rows come as CopyData.
    CopyOut(Read),
    /// LOCK TABLE: the same on all members, inside a transaction block only.
    LockTable(TableLock),
    /// SET, RESET, SET SESSION CHARACTERISTICS: the same on every connection of the session.
    Session(SessionChange),
    /// SQL-level PREPARE name AS statement: analysis of the inner statement, whose text is `sql[inner..]`.
    Prepare {
        /// Name, case-folded.
        name: String,
        /// Byte offset of the inner statement in the text.
        inner: usize,
        /// The inner statement.
        analysis: Arc<Analysis>,
    },
    /// EXECUTE name [(args)]; the session knows what the name stands for.
    Execute {
        /// Name, case-folded.
        name: String,
    },
    /// DEALLOCATE name, or ALL (`None`).
    Deallocate(Option<String>),
    /// DISCARD ALL | PLANS | SEQUENCES | TEMP.
    Discard {
        /// ALL: everything of the session is reset.
        all: bool,
    },
    /// Outcome by token: the proxy answers it alone.
    Token(TokenCommand),
    /// A function of advisory locks, alone in its SELECT: on the lead, then on every connection of the session.
    Advisory(Advisory),
    /// LISTEN, UNLISTEN, NOTIFY: the proxy does it alone.
    Notification(NotificationCommand),
    /// EXPLAIN ROUTE statement: the proxy says what the inner statement, whose text is `sql[inner..]`, would come to.
    Route {
        /// Byte offset of the inner statement in the text.
        inner: usize,
        /// The inner statement.
        analysis: Arc<Analysis>,
    },
    /// The same statement on every member.
    Utility(Utility),
    /// Not proven to do the same on every member, and run nevertheless, because the configuration says so. Only
    /// [`super::run_unproven`] makes it.
    Unproven(Unproven),
    /// Names a relation that the catalog does not know: most likely an error (42P01). It is run on the lead where it can be
    /// undone; if it succeeds against expectation it is undone and refused.
    Unknown {
        /// What is unknown, for the message.
        what: String,
    },
    /// CONCURRENTLY: outside a transaction block it is the statement without the word.
    Concurrently(Concurrently),
    /// PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED.
    TwoPhase {
        /// Which.
        command: TwoPhase,
        /// What is said where the members let transactions be prepared.
        refusal: Refusal,
    },
    /// Cannot be made safe.
    Refused(Refusal),
}

/// How sure it is that a read is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Every table, function and operator is known to be free of effects.
    Proven,
    /// Not proven: it runs where a write is refused by the member (READ ONLY transaction), see DESIGN.md §4.
    Probe,
}

/// A read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// See [`Proof`].
    pub proof: Proof,
    /// It must run on the lead even outside a transaction (say, it tells a sequence's value).
    pub lead_only: bool,
    /// Calls of nextval/setval and the like with a constant name: (quoted, schema-qualified sequence). Such a statement runs on
    /// the lead; the sequences' state is then carried to the followers. Not empty only if that is all it changes.
    pub sequences: Vec<String>,
    /// What it does with a cursor, if that is what it is about. Cursors stand on the lead's connection alone.
    pub cursor: Option<CursorUse>,
}

/// DECLARE, FETCH, MOVE, CLOSE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorUse {
    /// DECLARE.
    Declare {
        /// Its name, as PostgreSQL stores it.
        name: String,
        /// WITH HOLD: its query runs to its end when its transaction commits, and its rows stay behind that.
        hold: bool,
    },
    /// FETCH or MOVE of this one; `None`: its name is not simple to tell.
    Move(Option<String>),
    /// CLOSE.
    Close(Option<String>),
    /// CLOSE ALL.
    CloseAll,
}

/// Where the value of a key column comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyValue {
    /// `$n`, 1-based.
    Parameter(u16),
    /// A literal of the text: see [`super::literals::Literals`].
    Literal(LiteralAt),
}

/// Which literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiteralAt {
    /// The token, counted from 0.
    pub token: usize,
    /// A minus is before it.
    pub negative: bool,
}

/// A row pinned by constants: one value for each column of a unique key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedKey {
    /// (index into `Table::columns`, value).
    pub values: Vec<(usize, KeyValue)>,
}

/// How exactly the rows of a write are known before it runs; used to make its footprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FootprintHint {
    /// The whole group.
    Group,
    /// These keys of a table that qualifies for [`super::footprint::Rows::Keys`], one a row.
    Keys(Vec<PinnedKey>),
    /// See [`super::footprint::Rows::Append`].
    Append,
}

/// A write and the form in which followers get it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a statement")]
pub struct Write {
    /// The written table.
    pub table: Arc<Table>,
    /// See [`FootprintHint`].
    pub footprint: FootprintHint,
    /// See [`WriteForm`].
    pub form: WriteForm,
    /// The client's statement has a RETURNING of its own.
    pub client_returning: bool,
    /// An INSERT without ON CONFLICT: it inserts all its rows, or fails.
    pub plain_insert: bool,
    /// A deferrable constraint may be checked only at COMMIT.
    pub deferred: bool,
    /// Sequences that the statement advances on the lead (quoted, with schema): those of defaults that it uses and of
    /// `nextval('…')` in its text.
    pub sequences: Vec<String>,
}

/// DESIGN.md §4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteForm {
    /// The same text and parameters, if the lead touched exactly `rows` rows; nothing if it touched none.
    /// (Other counts cannot happen for the shapes that get this form; they are treated as a refusal.)
    Keyed {
        /// Rows the statement names.
        rows: u64,
    },
    /// The lead's statement gets ` RETURNING …` (`lead_suffix`, appended behind its last token), and followers get row
    /// operations made from the returned values.
    Captured(Capture),
    /// `LOCK TABLE` first, everywhere, then the same statement.
    Locked(Locked),
}

/// A statement that runs on the lead alone; followers get what it left behind, from images of the rows that it changed
/// ([`super::images`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imaged {
    /// Tables that it is known to write. Those that it turns out to write come on top.
    pub tables: Vec<Arc<Table>>,
    /// Why no other form fits, and what is said where images cannot be taken or applied.
    pub instead_of: Refusal,
}

/// A table that is made from a query. The name is where the statement says it; the lead tells what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The table's schema, if the text names one; else it is the first of the search path.
    pub schema: Option<String>,
    /// The table's name, as PostgreSQL stores it.
    pub name: String,
    /// It may be there already; then nothing is made.
    pub if_not_exists: bool,
    /// The prepared statement that fills it (AS EXECUTE), case-folded.
    pub executes: Option<String>,
    /// Sequences that its query advances (quoted, with schema).
    pub sequences: Vec<String>,
    /// It is temporary, and belongs to the session; and what becomes of it when the transaction commits.
    pub temporary: Option<OnCommit>,
}

/// What becomes of a temporary table when its transaction commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCommit {
    /// Nothing.
    PreserveRows,
    /// It is emptied.
    DeleteRows,
    /// It is dropped.
    Drop,
}

/// What is captured on the lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Text to append to the statement (behind its last token, before a trailing semicolon or comment), starting with a blank:
    /// either ` RETURNING a, b` or, behind a client's RETURNING, `, a, b`. Each item is `(column)::text`.
    pub lead_suffix: String,
    /// Captured columns (indexes into `Table::columns`), in the order of the suffix.
    pub columns: Vec<usize>,
    /// How many of them, at the front, are the key (0: INSERT).
    pub key_columns: usize,
    /// What followers do with them.
    pub operation: CapturedOperation,
    /// It would also be right in the locked form: used where the capture grows too large.
    pub locked_alternative: Option<Locked>,
}

/// The row operation on followers. SQL is built by [`super::rows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapturedOperation {
    /// INSERT of all captured columns, OVERRIDING SYSTEM VALUE.
    Insert,
    /// INSERT … ON CONFLICT (key) DO UPDATE of all other captured columns.
    Upsert,
    /// UPDATE of the non-key columns by key.
    Update,
    /// DELETE by key.
    Delete,
    /// SELECT … FOR UPDATE (or another strength) by key.
    Lock(LockStrength),
}

/// The locked form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// `LOCK TABLE …` statements to run before, in order.
    pub lock_sql: Vec<String>,
}

/// Strength of row locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockStrength {
    /// FOR UPDATE
    Update,
    /// FOR NO KEY UPDATE
    NoKeyUpdate,
    /// FOR SHARE
    Share,
    /// FOR KEY SHARE
    KeyShare,
}

/// A locking read of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLock {
    /// The locked table.
    pub table: Arc<Table>,
    /// `None`: its full key is pinned by constants: the same statement goes to followers, if a row was found.
    /// `Some`: the rewritten text for the lead, with the key columns appended to its select list.
    pub capture: Option<LockCapture>,
    /// See [`FootprintHint`].
    pub footprint: FootprintHint,
}

/// How a locking read is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockCapture {
    /// The token, counted from 0, before which `lead_insert` goes (FROM): see [`super::split::start_of_token`].
    pub insert_before: usize,
    /// `, (key)::text …`.
    pub lead_insert: String,
    /// Key columns, in that order (indexes into `Table::columns`).
    pub columns: Vec<usize>,
    /// Strength.
    pub strength: LockStrength,
}

/// LOCK TABLE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableLock {
    /// What it locks.
    pub footprint: Footprint,
    /// ACCESS EXCLUSIVE, which is also the default: it cannot run beside a copy of the database.
    pub shuts_out_readers: bool,
}

/// COPY FROM STDIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyIn {
    /// The table.
    pub table: Arc<Table>,
    /// See [`CopyForm`].
    pub form: CopyForm,
}

/// How the rows of a COPY reach the followers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyForm {
    /// Locks first; then they get the client's rows, at the same time as the lead.
    Locked(Locked),
    /// The lead alone gets the client's rows; followers get what they have left behind.
    Imaged(Imaged),
}

/// A change of the session itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// SET [SESSION] name = value: name lower case.
    Set {
        /// Setting, lower case.
        name: String,
        /// The value's text as far as it is a plain list of constants (search_path …), else `None`.
        values: Option<Vec<String>>,
    },
    /// SET LOCAL.
    SetLocal {
        /// Setting, lower case.
        name: String,
        /// As in `Set`.
        values: Option<Vec<String>>,
    },
    /// RESET name.
    Reset {
        /// Setting, lower case.
        name: String,
    },
    /// RESET ALL.
    ResetAll,
    /// SET TRANSACTION.
    TransactionModes(TransactionModes),
    /// SET SESSION CHARACTERISTICS AS TRANSACTION.
    SessionModes(TransactionModes),
    /// SET CONSTRAINTS.
    Constraints {
        /// IMMEDIATE: what has waited runs now.
        immediate: bool,
    },
}

/// A client's name for a transaction, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenCommand {
    /// SET [LOCAL] raidb.token.
    Set(TokenText),
    /// RESET raidb.token.
    Reset,
    /// SHOW raidb.token.
    Show,
    /// SELECT raidb.outcome(…), or SHOW.
    Outcome {
        /// Which.
        token: TokenText,
        /// It was written as SHOW.
        show: bool,
    },
}

/// Where a token stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenText {
    /// In the text: this. (An analysis with it is shared by no other text.)
    Literal(String),
    /// It is `$1`.
    Parameter,
}

/// A call of a function of advisory locks. It holds values of literals: it is shared by no other text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advisory {
    /// Which function.
    pub call: AdvisoryCall,
    /// Its arguments.
    pub arguments: Vec<IntegerArgument>,
}

/// A function of advisory locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvisoryCall {
    /// `pg_[try_]advisory_[xact_]lock[_shared]`.
    Lock {
        /// It ends with the transaction, not with the session.
        transaction: bool,
        /// Others may share it.
        shared: bool,
    },
    /// `pg_advisory_unlock[_shared]`.
    Unlock {
        /// The shared mode is given back.
        shared: bool,
    },
    /// `pg_advisory_unlock_all`.
    UnlockAll,
}

/// An integer that a call is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerArgument {
    /// In the text.
    Literal(i64),
    /// `$n`, 1-based.
    Parameter(u16),
    /// NULL: the call does nothing.
    Null,
}

/// What a session has to do with notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationCommand {
    /// LISTEN channel.
    Listen(String),
    /// UNLISTEN channel, or `*` (`None`).
    Unlisten(Option<String>),
    /// NOTIFY channel [, payload].
    Notify {
        /// Channel, as PostgreSQL folds it.
        channel: String,
        /// Payload; empty if there is none.
        payload: String,
    },
    /// SELECT pg_notify(channel, payload).
    Function {
        /// Channel.
        channel: TextArgument,
        /// Payload.
        payload: TextArgument,
        /// Name of the answer's column.
        column: String,
    },
}

/// A text that a call is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextArgument {
    /// In the text.
    Literal(String),
    /// `$n`, 1-based.
    Parameter(u16),
    /// NULL.
    Null,
}

/// DDL and the like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a statement")]
pub struct Utility {
    /// It can run in a transaction block. If not: member by member, lead first, in autocommit.
    pub transactional: bool,
    /// The catalog must be read again behind it.
    pub changes_catalog: bool,
    /// It may shut out readers of a table: it cannot run beside a copy of the database.
    pub shuts_out_readers: bool,
    /// It makes, changes or drops temporary objects of the session, and nothing else.
    pub temporary: bool,
    /// Something that it makes is dropped when the transaction commits.
    pub until_commit: bool,
    /// What it touches.
    pub footprint: Footprint,
}

/// A statement that runs as it is on the lead and on the followers, one after the other, although it is not proven that it
/// does the same there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unproven {
    /// What is not proven: one clause, lower case, no period.
    pub reason: String,
    /// `LOCK TABLE` of what it names, first, on all members.
    pub locked: Locked,
}

/// What stands against a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It may do the same on every member, and nobody can tell: `unsafe_statement = "warn"` runs it.
    Doubtful,
    /// It is known to do something else on every member, to reach one member alone, or to get around the proxy: it is
    /// never run.
    Impossible,
}

/// Why a statement is not executed anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// See [`Severity`].
    pub severity: Severity,
    /// One clause, lower case, no period: "INSERT into table "t" fires user triggers".
    pub reason: String,
    /// What the user can do now.
    pub hint: String,
}
