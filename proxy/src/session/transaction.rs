//! The transaction of a session: what the client sees of it, and what is open on members.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raidb_core::ids::{LeadEpoch, MemberId};
use raidb_core::log::Position;
use raidb_core::sql::analysis::Isolation;
use raidb_core::sql::catalog::{Catalog, Table};
use raidb_core::sql::footprint::Footprint;
use raidb_core::transaction::overtaking::Seen;
use raidb_core::transcript::Transcript;
use tokio::time::Instant;

use super::characteristics::Characteristics;
use super::meaning::Due;
use super::prepared::Prepared;
use super::settings::PendingSetting;
use super::trouble::SqlError;
use crate::virtual_database::in_flight::Ticket;
use crate::virtual_database::journal::RowsHeld;

/// What ReadyForQuery tells the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Not in a transaction block.
    Idle,
    /// In one.
    Open,
    /// In one that failed: only its end, or a rollback to a savepoint, is accepted.
    Failed,
}

impl Block {
    /// The status byte.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Block::Idle => b'I',
            Block::Open => b'T',
            Block::Failed => b'E',
        }
    }
}

/// What a follower is sent.
#[derive(Clone, Debug)]
pub enum Payload {
    /// A simple query.
    Simple(Bytes),
    /// A prepared statement with the client's parameters (a Bind without its names).
    Extended {
        /// The statement.
        prepared: Arc<Prepared>,
        /// Formats, values, result formats.
        tail: Bytes,
    },
    /// EXECUTE, with what it executes: the name may mean something else by the time that it is sent.
    Execute {
        /// What PREPARE has made.
        prepared: Arc<Prepared>,
        /// The EXECUTE.
        sql: Bytes,
    },
    /// Rows that went through once, by COPY: a session cannot send them again, but they are in the recovery log.
    Copied {
        /// The COPY statement.
        text: Bytes,
        /// Records of the rows.
        rows: Vec<Position>,
    },
}

impl Payload {
    /// Bytes of its statement.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Payload::Simple(sql) => sql.len(),
            Payload::Extended { prepared, tail } => prepared.text.len() + tail.len(),
            Payload::Execute { prepared, sql } => prepared.text.len() + sql.len(),
            Payload::Copied { text, .. } => text.len(),
        }
    }
}

/// One entry of a transcript.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one statement")]
pub struct Entry {
    /// What is sent.
    pub payload: Payload,
    /// The command tag that the follower must answer with; `None`: any success.
    pub tag: Option<Bytes>,
    /// Commits that had been sent before the lead answered this, and touch the same rows (rule 2).
    pub barrier: Vec<Arc<Ticket>>,
    /// It is a unit of its own: it changes how texts are read.
    pub alone: bool,
    /// It does all that its tag says or, with an error, nothing: no answer can mean that a part was done.
    pub all_or_nothing: bool,
    /// Its literals mean the same as parameters, where its text allows that.
    pub literals: bool,
    /// It stands in the recovery log too: what only sessions need of each other does not.
    pub logged: bool,
    /// Without a write beside it, it leaves nothing: a lock, a savepoint, a setting, a check of constraints.
    pub frame: bool,
    /// It concerns temporary objects of the session: a connection that lacks them does nothing instead.
    pub temporary: bool,
    /// When the lead answered.
    pub answered_at: Instant,
    /// How long the lead took: the follower gets `member_timeout` more.
    pub lead_took: Duration,
}

impl Entry {
    /// An entry that waits for nobody, and took no time.
    #[must_use]
    pub fn new(payload: Payload, tag: Option<Bytes>) -> Self {
        Entry {
            payload,
            tag,
            barrier: Vec::new(),
            alone: false,
            all_or_nothing: false,
            literals: false,
            logged: true,
            frame: false,
            temporary: false,
            answered_at: Instant::now(),
            lead_took: Duration::ZERO,
        }
    }

    /// The same, which leaves nothing ([`Entry::frame`]).
    #[must_use]
    pub fn frame(payload: Payload, tag: Option<Bytes>) -> Self {
        Entry { frame: true, ..Entry::new(payload, tag) }
    }
}

/// A transaction that is open on the lead, or about to be.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts that only ever become true")]
pub struct OpenTransaction {
    /// The lead that it uses.
    pub lead: MemberId,
    /// The epoch under which it is counted.
    pub epoch: LeadEpoch,
    /// BEGIN has been sent to the lead.
    pub lead_begun: bool,
    /// A statement of the client has taken the snapshot that lasts, if one does.
    pub has_snapshot: bool,
    /// The client opened it; otherwise the proxy did, around one statement or pipeline.
    pub explicit: bool,
    /// Isolation level and the like.
    pub modes: Characteristics,
    /// What they were before each change, with the length of the transcript then.
    pub modes_before: Vec<(usize, Characteristics)>,
    /// The session's default when it began.
    pub read_only_by_default: bool,
    /// What followers get.
    pub transcript: Transcript<Entry>,
    /// Its entries do not leave for the followers now: they are about to go out with their COMMIT.
    pub held: bool,
    /// A time limit was set in it, which acts on the lead.
    pub limited: bool,
    /// Length of the transcript when it became READ ONLY behind a write of its own.
    pub read_only_at: Option<usize>,
    /// It is made of INSERTs of several sessions.
    pub combined: bool,
    /// What it wrote.
    pub footprint: Footprint,
    /// What the lead has answered, and when: see [`Seen`].
    pub seen: Seen,
    /// A deferred constraint may have to be checked before the decision.
    pub deferred: bool,
    /// Something exists on the lead alone (a cursor, a portal): a change of lead aborts.
    pub lead_only_state: bool,
    /// A cursor WITH HOLD was declared in it.
    pub holds_cursor: bool,
    /// Those that are left of them, with the length of the transcript before.
    pub declared: Vec<(usize, String)>,
    /// A setting was made in it that changes what statements mean: when it ends, the lead is asked again.
    pub meaning_changed: bool,
    /// What of it the lead is still to be asked before a statement depends on it.
    pub meaning_due: Option<Due>,
    /// One of these says how texts are read.
    pub texts_changed: bool,
    /// DDL ran that is not about temporary objects alone.
    pub changes_catalog: bool,
    /// DDL ran: its own view of the catalog, and the shared one is read again behind COMMIT.
    pub own_catalog: Option<Arc<Catalog>>,
    /// Temporary objects of the session, as this transaction has changed them.
    pub temporary: Option<Arc<[Arc<Table>]>>,
    /// It has made, changed or dropped some.
    pub had_temporary: bool,
    /// Some of them are dropped when it commits.
    pub until_commit: bool,
    /// Length of the transcript when that was read.
    pub own_catalog_at: usize,
    /// A statement ran that may have set sequences back.
    pub sequences_doubted: bool,
    /// Its transcript has images of rows.
    pub imaged: bool,
    /// Its transcript has statements that run as they are although nobody can tell what they do.
    pub unproven: bool,
    /// Tables to which it gave the triggers that take images.
    pub installed: usize,
    /// Settings that take effect for later connections if it commits.
    pub settings: Vec<PendingSetting>,
    /// Sequences of which it has used values, with the highest.
    pub sequences: std::collections::BTreeMap<String, i64>,
    /// It has rows of COPY, which went through once.
    pub copies: Option<Arc<()>>,
    /// No member is copied meanwhile.
    pub no_copy: Option<tokio::sync::OwnedRwLockReadGuard<()>>,
    /// It cannot be carried on; what is told.
    pub doomed: Option<SqlError>,
    /// Its rows of COPY are in the log, and are kept there.
    pub rows_held: Option<RowsHeld>,
    /// Bytes that the transcript holds.
    pub transcript_bytes: usize,
}

/// A transcript may hold this many bytes; beyond, the statement fails with 54000.
pub const TRANSCRIPT_BYTES_MAX: usize = 512 * 1024 * 1024;

impl OpenTransaction {
    /// Whether something of it outlasts it, on every member: what there is to redo.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.transcript.iter().any(|entry| entry.logged && !entry.frame) || !self.sequences.is_empty()
    }

    /// The lead may still refuse its COMMIT: under SERIALIZABLE, or because it runs the query of a cursor WITH HOLD to its end. So it
    /// decides, first and alone.
    #[must_use]
    pub fn lead_commits_first(&self) -> bool {
        self.modes.isolation == Isolation::Serializable || self.holds_cursor
    }

    /// The transcript was cut to this length, and what came behind is undone.
    pub fn modes_undone(&mut self, length: usize) {
        while let Some((_, before)) = self.modes_before.pop_if(|(at, _)| *at >= length) {
            self.modes = before;
        }
    }

    /// A transaction under `epoch`, led by `lead`; nothing has been sent.
    #[must_use]
    pub fn new(lead: MemberId, epoch: LeadEpoch, explicit: bool, modes: Characteristics) -> Self {
        OpenTransaction {
            lead,
            epoch,
            lead_begun: false,
            has_snapshot: false,
            explicit,
            modes,
            modes_before: Vec::new(),
            read_only_by_default: false,
            transcript: Transcript::default(),
            held: false,
            limited: false,
            read_only_at: None,
            combined: false,
            footprint: Footprint::Nothing,
            seen: Seen::default(),
            deferred: false,
            lead_only_state: false,
            holds_cursor: false,
            declared: Vec::new(),
            meaning_changed: false,
            meaning_due: None,
            texts_changed: false,
            changes_catalog: false,
            own_catalog: None,
            temporary: None,
            had_temporary: false,
            until_commit: false,
            own_catalog_at: 0,
            sequences_doubted: false,
            imaged: false,
            unproven: false,
            installed: 0,
            settings: Vec::new(),
            sequences: std::collections::BTreeMap::new(),
            copies: None,
            no_copy: None,
            doomed: None,
            rows_held: None,
            transcript_bytes: 0,
        }
    }
}

impl super::Session {
    /// Opens a transaction on the present lead, without sending anything.
    pub(crate) fn open_transaction(&mut self, explicit: bool, modes: Characteristics) {
        let view = self.database.enter();
        self.grow_slots();
        // What was refused before it was told before it.
        self.slots.iter_mut().for_each(|slot| slot.refused = None);
        let read_only_by_default = self.settings.read_only;
        let open = OpenTransaction::new(view.lead, view.lead_epoch, explicit, modes);
        self.open = Some(OpenTransaction { read_only_by_default, ..open });
    }
}
