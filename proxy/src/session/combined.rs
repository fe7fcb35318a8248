//! Single INSERTs of several sessions as one transaction: one intent, one COMMIT, one flush a member for all of them. Who runs it
//! and who waits is [`crate::together::combining`]; here is what may be combined, and how it is run.
//!
//! **What.** An INSERT of given values in autocommit, by a session that is like the others (`Session::group`): no settings of
//! its own, READ COMMITTED, no time limits, no token, no RETURNING, no deferrable constraint, nothing that only the lead can know.
//! Such a statement says `INSERT 0 n` or fails, and nothing else is told to its client. What triggers, rules or functions write is
//! never among them: an INSERT that reaches any is imaged ([`super::imaged`]) or refused, and not keyed.
//!
//! **Why it is the same.** The statements were all sent and none was answered, so any order of them is one that a single server
//! could have chosen, and so is one in which nobody looks in between. The one who runs it holds it open as a transaction of his
//! own with several entries: the order among others, the decision, a change of lead, verdicts are those of any transaction.
//!
//! **All or nobody.** The lead's answers are looked at before anything else happens. If one statement failed, waited for a lock, was
//! answered otherwise than expected or with a notice, if DDL came in between, if the lead or the client was lost: it is rolled
//! back, and each session runs its own statement the usual way and gets its own answer. The same if it is refused later, for
//! certain. If nobody knows what became of it, each is told so (invariant 3); nothing is run again.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use raidb_core::ids::MemberId;
use raidb_core::sql::analysis::{Command, Isolation, Write, WriteForm};
use raidb_core::sql::parametrised;
use tokio::time::Instant;

use super::Session;
use super::characteristics::Characteristics;
use super::foreground::{Reading, Rows};
use super::frames::{self, write_limits, write_no_limits};
use super::intent::unknown;
use super::lead_unit::{LEAD_BEGIN, write_prepared_begin};
use super::prepared::Prepared;
use super::statement::Statement;
use super::token::Named;
use super::transaction::{Block, Payload};
use super::trouble::{SqlError, Trouble};
use crate::fault_points::FaultPoint;
use crate::members::pg::link::{Link, Owner};
use crate::together::Shape;
use crate::together::combining::{Arrival, Combining, Fate, Insert, Next, Passengers, Seat, Turn};
use crate::virtual_database::member::PendingGuard;
use crate::wire::{decode, encode};

/// A longer statement has enough to do by itself.
const STATEMENT_BYTES_MAX: usize = 16 * 1024;

/// Why nothing was run.
struct Failed {
    trouble: Trouble,
    /// Whose INSERT it was, if it was one of them; 0: that of the session itself.
    culprit: Option<usize>,
}

impl<T: Into<Trouble>> From<T> for Failed {
    fn from(trouble: T) -> Self {
        Failed { trouble: trouble.into(), culprit: None }
    }
}

impl Session {
    /// Runs a single statement together with those of other sessions. False: it was not, and goes the usual way.
    ///
    /// # Errors
    /// Nobody knows what became of it; or its client has cancelled it or is gone.
    pub(super) async fn combined(&mut self, statement: &Statement) -> Result<bool, Trouble> {
        // Of a try before, if DDL came in between: it would wait for itself.
        self.turn = None;
        let Some((combining, write, rows)) = self.may_combine(statement) else { return Ok(false) };
        match combining.come(&self.handle, || self.insert(statement, write, rows)) {
            Arrival::Alone => Ok(false),
            Arrival::Turn(turn) => {
                self.drive(turn.gather()).await;
                let own = self.insert(statement, write, rows);
                self.run_combined(turn, &own).await
            }
            Arrival::Seat(seat) => {
                self.handle.run_with_others();
                let next = self.seated(&seat, Instant::now() + combining.patience()).await;
                match next {
                    Next::Turn(turn) => {
                        self.drive(turn.gather()).await;
                        self.run_combined(turn, seat.insert()).await
                    }
                    Next::Ended(Fate::Committed) => {
                        self.handle.set_running(None);
                        self.database.counters.commits.add();
                        self.database.counters.combined.add();
                        self.insert_rest.worked();
                        self.inserted(&seat.insert().tag);
                        Ok(true)
                    }
                    Next::Ended(Fate::Unknown(why)) => Err(unknown(&why)),
                    Next::Ended(Fate::Alone { blamed }) => {
                        if blamed {
                            self.insert_rest.failed();
                        }
                        self.alone()
                    }
                    Next::Wait => self.alone(),
                }
            }
        }
    }

    /// Waits for what becomes of it; up to `limit`, or its cancellation, as long as nobody has taken it along.
    async fn seated(&mut self, seat: &Seat, limit: Instant) -> Next {
        poll_fn(|cx| {
            self.poll_background(cx);
            match seat.next() {
                Next::Wait => {}
                next => return Poll::Ready(next),
            }
            let enough = Instant::now() >= limit;
            if (enough || self.handle.cancelled()) && seat.withdraw() {
                return Poll::Ready(Next::Ended(Fate::Alone { blamed: false }));
            }
            if !enough {
                // The timer may have fired for something else meanwhile.
                self.wake_at(limit);
            }
            Poll::Pending
        })
        .await
    }

    /// Whether others can run the statement; which others.
    fn may_combine<'a>(&mut self, statement: &'a Statement) -> Option<(Arc<Combining>, &'a Write, u64)> {
        let Command::Write(write) = &statement.analysis.command else { return None };
        let WriteForm::Keyed { rows } = write.form else { return None };
        let plain = write.plain_insert
            && !write.client_returning
            && !write.deferred
            && write.sequences.is_empty()
            // A name of this session's is another's.
            && statement.executes.is_none()
            && statement.sql.len() + statement.bound.as_ref().map_or(0, |bound| bound.tail.len())
                <= STATEMENT_BYTES_MAX;
        let like_others = self.block == Block::Idle
            && matches!(self.named, Named::Nothing)
            && self.staged.is_empty()
            && self.client.out().is_empty()
            && !self.settings.time_limits
            && self.plain_defaults()
            && !self.meaning_unknown
            // They are why nobody else touches its rows, and only its own connections hold them.
            && self.locks.is_empty()
            && !self.insert_rest.lasts();
        // Whoever waits may have to run it: all its connections are there.
        let ready = || {
            let lead = &self.slots[usize::from(self.view.lead.0)];
            let led = lead.link.is_some() && lead.work.is_none() && !lead.lost;
            led && self.view.members().all(|m| m == self.view.lead || self.untouched(m))
        };
        if !plain || !like_others || self.view.down || self.database.writes_stopped() || !ready() {
            return None;
        }
        let name = self.identity.parameters.iter().find(|(name, _)| &name[..] == b"application_name");
        let name = name.map(|(_, value)| value.clone()).unwrap_or_default();
        Some((self.group()?.combining(&name)?, write, rows))
    }

    fn insert(&self, statement: &Statement, write: &Write, rows: u64) -> Insert {
        let literals = parametrised::fits(&write.table);
        let payload = statement.payload();
        let shape = Shape::of(&payload, literals && self.settings.standard_conforming);
        Insert {
            payload,
            shape,
            tag: Bytes::from(format!("INSERT 0 {rows}")),
            reads: self.read_footprint(statement),
            footprint: self.footprint(&write.footprint, &write.table, statement),
            literals,
            generation: statement.generation,
        }
    }

    /// What the client of such a statement is told.
    fn inserted(&mut self, tag: &Bytes) {
        encode::command_complete(&mut self.staged, &String::from_utf8_lossy(tag));
    }

    /// It goes by itself after all, unless it was cancelled meanwhile.
    fn alone(&mut self) -> Result<bool, Trouble> {
        if self.handle.alone_again() {
            return Err(SqlError::new("57014", "canceling statement due to user request", "").into());
        }
        Ok(false)
    }

    /// Runs it, with those that wait. False: nothing has happened.
    async fn run_combined(&mut self, turn: Turn, own: &Insert) -> Result<bool, Trouble> {
        let mut others = turn.others(own);
        let by_itself = others.is_empty();
        // Cancelled meanwhile.
        self.alone()?;
        if by_itself {
            if own.shape.is_none() {
                self.turn = Some(turn);
                return Ok(false);
            }
        } else {
            self.handle.run_with_others();
        }
        self.open_implicit();
        if let Some(open) = self.open.as_mut() {
            open.combined = true;
        }
        let mut culprit = None;
        let result = match self.combined_on_lead(own, &others).await {
            Ok(()) => {
                self.reach(FaultPoint::CombinedAnswered).await;
                others.committing();
                self.commit().await
            }
            Err(failed) => {
                let gone = matches!(failed.trouble, Trouble::ClientGone);
                culprit = failed.culprit.or(gone.then_some(0));
                match culprit {
                    Some(0) => self.insert_rest.failed(),
                    Some(_) => {}
                    None => turn.failed(),
                }
                Err(failed.trouble)
            }
        };
        match result {
            Ok(()) => {
                self.reach(FaultPoint::CombinedCommitted).await;
                turn.worked(1 + others.inserts().count());
                others.committed();
                self.insert_rest.worked();
                self.handle.set_running(None);
                if !by_itself {
                    self.database.counters.combined.add();
                }
                self.inserted(&own.tag);
                Ok(true)
            }
            // The session ends. What the others are told depends on how far it was.
            Err(trouble @ (Trouble::Fatal(_) | Trouble::ClientGone)) => Err(trouble),
            // What the decision says of it alone is the answer: it is not tried again.
            Err(trouble) if by_itself && others.are_committing() => Err(trouble),
            // Its client wants it to end.
            Err(Trouble::Answer(frame)) if by_itself && decode::sqlstate(&frame) == *b"57014" => {
                Err(Trouble::Answer(frame))
            }
            Err(trouble) => {
                tracing::debug!(session = %self.handle.id, "each INSERT goes by itself: {trouble:?}");
                if others.are_committing() {
                    turn.failed();
                }
                // What its own statement says it will say again.
                self.staged = decode::reports(&self.staged);
                // Before anybody is told: whoever goes by himself would wait for these locks.
                self.rollback().await;
                others.alone(culprit.and_then(|index| index.checked_sub(1)));
                self.alone()
            }
        }
    }

    /// Another session's statement under a name and a number of this one: its own mean something else on these connections.
    fn adopted(&mut self, payload: &Payload) -> Payload {
        let Payload::Extended { prepared, tail } = payload else { return payload.clone() };
        let (text, types) = (prepared.text.clone(), prepared.types.clone());
        let prepared = Prepared { identity: self.names.identity(), name: Bytes::new(), text, types, by_sql: None };
        Payload::Extended { prepared: Arc::new(prepared), tail: tail.clone() }
    }

    async fn combined_on_lead(&mut self, own: &Insert, others: &Passengers) -> Result<(), Failed> {
        let lead = self.ready_members(true).await?;
        let inserts = || std::iter::once(own).chain(others.inserts());
        let mut tickets: Vec<_> =
            inserts().flat_map(|insert| self.database.in_flight.conflicting(&insert.reads)).collect();
        tickets.retain(|ticket| ticket.pending_on(lead));
        self.wait_tickets(lead, tickets).await?;
        let started = Instant::now();
        let before = self.write_combined(lead, own, others)?;
        if others.is_empty() {
            self.handle.set_running(self.slots[usize::from(lead.0)].link.as_ref().map(Link::cancel_key));
        }
        let reading = Reading { rows: Rows::Discard, silent: true, ..Reading::default() };
        let end = {
            let _pending = PendingGuard::new(self.database.clone(), lead);
            self.read_unit(lead, reading).await
        };
        if others.is_empty() {
            self.handle.set_running(None);
        }
        let end = end?;
        let took = started.elapsed();
        self.database.member(lead).observe(took);
        if let Some(frame) = end.error {
            if let Some(link) = self.slots[usize::from(lead.0)].link.as_mut() {
                // A Parse of this unit may or may not stand.
                self.insert_names.all().chain([&LEAD_BEGIN]).for_each(|name| link.forget(name));
                frames::forget_own(link);
            }
            // It has answered those before it.
            return Err(Failed { trouble: Trouble::Answer(frame), culprit: end.tags.len().checked_sub(before) });
        }
        let mut tags = end.tags.iter().skip(before);
        let differing = inserts().position(|insert| tags.next() != Some(&insert.tag));
        if !self.staged.is_empty() || differing.is_some() {
            let trouble = SqlError::retry("it was answered in another way than expected").into();
            return Err(Failed { trouble, culprit: differing });
        }
        // Its own locks have kept DDL out since.
        let generation = self.database.ddl_generation();
        if inserts().any(|insert| Some(insert.generation) != generation) {
            return Err(SqlError::retry("the schema was changed").into());
        }
        // No wait from here to the end: they enter the transaction together.
        for (index, insert) in inserts().enumerate() {
            let payload = if index == 0 { insert.payload.clone() } else { self.adopted(&insert.payload) };
            self.push_entry(payload, Some(insert.tag.clone()), &insert.footprint, took)?;
            self.change_last(|entry| {
                entry.all_or_nothing = true;
                entry.literals = insert.literals;
            });
        }
        Ok(())
    }

    /// BEGIN, the statements, within limits if others would wait too: one unit. How many answers come before theirs.
    fn write_combined(&mut self, lead: MemberId, own: &Insert, others: &Passengers) -> Result<usize, Trouble> {
        if let Some(open) = self.open.as_mut() {
            open.lead_begun = true;
        }
        // Whoever was judged by another catalog is found behind the answers.
        let ddl = own.generation;
        let index = usize::from(lead.0);
        let names = &mut self.insert_names;
        let Some(link) = self.slots[index].link.as_mut() else { return Err(Trouble::LeadChanged) };
        // Nobody sees the answers: they are not counted by steps.
        let mut steps = VecDeque::new();
        // It is READ COMMITTED: nothing else is combined.
        write_prepared_begin(link, &Characteristics::plain(Isolation::ReadCommitted).begin(), &mut steps);
        if !others.is_empty() {
            write_limits(link);
        }
        // What the unnamed statement stands for.
        let mut unnamed: Option<(&[u8], &[u8])> = None;
        for insert in std::iter::once(own).chain(others.inserts()) {
            let (text, types, tail, named) = match (&insert.shape, &insert.payload) {
                (Some(shape), _) => {
                    (&shape.text, &shape.types, &shape.tail, names.name(&shape.text, &shape.types, ddl))
                }
                (None, Payload::Extended { prepared, tail }) => {
                    (&prepared.text, &prepared.types, tail, names.name(&prepared.text, &prepared.types, ddl))
                }
                (None, Payload::Simple(sql)) => (sql, &NO_TYPES, &NO_PARAMETERS, None),
                // A session does not offer these.
                (None, Payload::Copied { .. } | Payload::Execute { .. }) => continue,
            };
            let name = match named {
                Some((name, identity)) => {
                    link.prepare(&name, identity, &[&text[..]], types);
                    name
                }
                None => {
                    if unnamed.replace((text, types)) != Some((&text[..], &types[..])) {
                        encode::parse(link.out(), b"", &[text], types);
                    }
                    Bytes::new()
                }
            };
            encode::bind(link.out(), b"", &name, tail);
            encode::execute(link.out(), b"", 0);
        }
        if !others.is_empty() {
            // COMMIT and the marker are not limited.
            write_no_limits(link);
        }
        if unnamed.is_some() {
            // The client's own does not stand there any more.
            link.forget(&Bytes::new());
        }
        encode::bare(link.out(), b'S');
        link.unit(Owner::Foreground);
        Ok(1 + usize::from(!others.is_empty()))
    }
}

static NO_TYPES: Bytes = Bytes::from_static(&[0, 0]);
static NO_PARAMETERS: Bytes = Bytes::from_static(&[0, 0, 0, 0, 0, 0]);
