//! Single INSERTs of several sessions as one transaction on the lead: who runs it, and who waits.
//!
//! ```text
//!  session 1 ── has the turn ─▶ INSERT 1, 2, 3 on its connection, one intent, one COMMIT ─▶ tells 2 and 3
//!  session 2 ── waits ────────────┘  │                                                      │
//!  session 3 ── waits ───────────────┘                                                      │
//!  session 4 ── waits ──────── gets the next turn, and takes along whoever has come ◀───────┘
//! ```
//! This is *flat combining* (Hendler, Incze, Shavit, Tzafrir: "Flat combining and the synchronization-parallelism
//! tradeoff", SPAA 2010). There is one turn: whoever comes while it is taken waits, and whoever gets the next one takes all that
//! wait. A session that is alone has the turn each time and notices nothing.
//!
//! **Gathering.** Those whose INSERTs have just been committed are about to send their next. So a new turn lets the thread look after
//! its other sessions for up to [`GATHER_LIMIT`], until as many have come as there were before. If nobody comes, it is done
//! ever more rarely ([`GATHER_MISSES_MAX`]).
//!
//! **A session that waits holds up no other** (invariant 10). A turn that takes unusually long does not count any more, and who was
//! not taken along by then goes by himself ([`Combining::patience`]); on the lead a combined transaction has limits of
//! its own. Then, and whenever anything else goes wrong before the decision, it is rolled back and everybody goes by
//! himself, as if nothing had been. The session whose INSERT it was goes by itself for a while then ([`Rest`]); if it was nobody's, all do.
//!
//! This file knows no SQL and does no I/O; what is combined, and why that is right, says `session::combined`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use raidb_core::sql::footprint::Footprint;
use tokio::time::Instant;

use super::Shape;
use crate::session::transaction::Payload;
use crate::virtual_database::handles::SessionHandle;

/// Most INSERTs of one.
pub const COMBINED_MAX: usize = 64;
/// Bytes of statements behind which no further one is taken.
const COMBINED_BYTES_MAX: usize = 256 * 1024;
/// Bounds of the time after which a turn is not waited for any more: twice what turns have taken of late.
const PATIENCE_MIN: Duration = Duration::from_millis(5);
const PATIENCE_MAX: Duration = Duration::from_millis(100);
/// A new turn waits for those that are about to come for no longer.
pub const GATHER_LIMIT: Duration = Duration::from_micros(100);
/// If nobody has come n times in a row, the next 2^n - 1 turns do not wait; n is at most this.
const GATHER_MISSES_MAX: u32 = 6;
/// Pause behind the first failure; doubles with each that follows, up to [`REST_MAX`].
const REST: Duration = Duration::from_millis(20);
const REST_MAX: Duration = Duration::from_secs(2);

/// An INSERT of given values, in autocommit, which inserts all its rows or fails.
#[derive(Debug)]
pub struct Insert {
    /// What is sent.
    pub payload: Payload,
    /// The same with its literals as parameters.
    pub shape: Option<Shape>,
    /// The command tag that it must answer with.
    pub tag: Bytes,
    /// What the lead looks at to run it.
    pub reads: Footprint,
    /// The rows that it makes.
    pub footprint: Footprint,
    /// See [`crate::session::transaction::Entry::literals`].
    pub literals: bool,
    /// DDL that had ended when it was judged.
    pub generation: u64,
}

impl Insert {
    fn size(&self) -> usize {
        self.payload.size()
    }
}

/// What became of an INSERT that another session was to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is committed, on all members.
    Committed,
    /// Nothing of it is anywhere, and nothing will be: it goes by itself.
    Alone {
        /// Because of it all had to.
        blamed: bool,
    },
    /// Nobody knows; what is told.
    Unknown(String),
}

#[derive(Debug)]
enum State {
    Waiting,
    /// Its session is to run those that wait, with itself.
    Turn(Turn),
    /// Another session runs it.
    Taken,
    Ended(Fate),
}

#[derive(Debug)]
struct Offer {
    insert: Insert,
    session: Arc<SessionHandle>,
    state: Mutex<State>,
}

impl Offer {
    fn set(&self, state: State) {
        *self.state.lock() = state;
        self.session.wake();
    }
}

/// The place of a session that waits. Dropped, it is given up.
#[derive(Debug)]
pub struct Seat {
    combining: Arc<Combining>,
    offer: Arc<Offer>,
}

/// What a session that waits is to do.
#[derive(Debug)]
pub enum Next {
    /// Wait; it is woken.
    Wait,
    /// Run its own, and those that wait.
    Turn(Turn),
    /// It is over.
    Ended(Fate),
}

impl Seat {
    /// See [`Next`].
    #[must_use]
    pub fn next(&self) -> Next {
        let mut state = self.offer.state.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Turn(turn) => Next::Turn(turn),
            State::Ended(fate) => {
                *state = State::Ended(fate.clone());
                Next::Ended(fate)
            }
            other => {
                *state = other;
                Next::Wait
            }
        }
    }

    /// Gives the place up, if nobody has taken the INSERT along yet: true. Otherwise it is run, and [`Seat::next`] will say
    /// what became of it.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        let mut waiting = self.combining.inner.lock();
        let before = waiting.queue.len();
        waiting.queue.retain(|offer| !Arc::ptr_eq(offer, &self.offer));
        waiting.queue.len() != before
    }

    /// What was offered.
    #[must_use]
    pub fn insert(&self) -> &Insert {
        &self.offer.insert
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _taken_along = !self.withdraw();
        // A turn that was not used is passed on, behind the lock.
        let state = std::mem::replace(&mut *self.offer.state.lock(), State::Taken);
        drop(state);
    }
}

/// The right to run what waits. Dropped, it is passed on.
#[derive(Debug)]
pub struct Turn {
    combining: Arc<Combining>,
    id: u64,
    since: Instant,
    /// So many have taken part in the last one, or wait for this.
    expected: usize,
}

impl Turn {
    /// Takes along those that wait, in the order in which they came.
    #[must_use]
    pub fn others(&self, own: &Insert) -> Passengers {
        let mut bytes = own.size();
        let mut inner = self.combining.inner.lock();
        let fits = |offer: &&Arc<Offer>| {
            bytes += offer.insert.size();
            bytes <= COMBINED_BYTES_MAX
        };
        let count = inner.queue.iter().take(COMBINED_MAX - 1).take_while(fits).count();
        let offers: Vec<Arc<Offer>> = inner.queue.drain(..count).collect();
        for offer in &offers {
            *offer.state.lock() = State::Taken;
        }
        Passengers { offers, committing: false }
    }

    fn waiting(&self) -> usize {
        self.combining.inner.lock().queue.len()
    }

    /// Lets the sessions of this thread come that are about to, for a moment. Cancel safe.
    pub async fn gather(&self) {
        // Its own session is one of them.
        let missing = |waiting: usize| waiting + 1 < self.expected;
        let before = self.waiting();
        if !missing(before) || !self.combining.inner.lock().gathering.now() {
            return;
        }
        let until = std::time::Instant::now() + GATHER_LIMIT;
        let mut waiting = before;
        // The runtime's timers are too coarse for this.
        while missing(waiting) && std::time::Instant::now() < until {
            tokio::task::yield_now().await;
            waiting = self.waiting();
        }
        self.combining.inner.lock().gathering.ended(waiting > before);
    }

    /// It did not work out, and it was nobody's INSERT.
    pub fn failed(&self) {
        self.combining.inner.lock().rest.failed();
    }

    /// So many were committed.
    pub fn worked(&self, count: usize) {
        let mut inner = self.combining.inner.lock();
        inner.rest.worked();
        inner.last_count = count;
        inner.took = (inner.took * 7 + self.since.elapsed()) / 8;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let granted = {
            let mut inner = self.combining.inner.lock();
            inner.turns.retain(|(id, _)| *id != self.id);
            self.combining.grant(&mut inner)
        };
        if let Some((offer, turn)) = granted {
            offer.set(State::Turn(turn));
        }
    }
}

/// A pause behind a failure, which doubles with each that follows.
#[derive(Debug, Default)]
pub struct Rest {
    failures: u32,
    until: Option<Instant>,
}

impl Rest {
    /// Begins it.
    pub fn failed(&mut self) {
        self.until = Some(Instant::now() + (REST * 2_u32.saturating_pow(self.failures)).min(REST_MAX));
        self.failures = self.failures.saturating_add(1);
    }

    /// The next one is short again.
    pub fn worked(&mut self) {
        self.failures = 0;
    }

    /// Whether it lasts.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }
}

/// Whether a turn waits for those that are about to come.
#[derive(Debug, Default)]
struct Gathering {
    misses: u32,
    skip: u32,
}

impl Gathering {
    fn now(&mut self) -> bool {
        let now = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        now
    }

    fn ended(&mut self, somebody_came: bool) {
        self.misses = if somebody_came { 0 } else { (self.misses + 1).min(GATHER_MISSES_MAX) };
        self.skip = (1 << self.misses) - 1;
    }
}

/// Those whose INSERTs are run by another session. Dropped, they are told that nothing has happened, or, if COMMIT may have
/// left, that nobody knows.
#[derive(Debug)]
pub struct Passengers {
    offers: Vec<Arc<Offer>>,
    committing: bool,
}

impl Passengers {
    /// What they want inserted.
    pub fn inserts(&self) -> impl Iterator<Item = &Insert> {
        self.offers.iter().map(|offer| &offer.insert)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offers.is_empty()
    }

    /// From here on nobody knows what becomes of it, unless it is said.
    pub fn committing(&mut self) {
        self.committing = true;
    }

    /// Whether that was said.
    #[must_use]
    pub fn are_committing(&self) -> bool {
        self.committing
    }

    /// Tells them that it is done.
    pub fn committed(mut self) {
        for offer in self.offers.drain(..) {
            offer.set(State::Ended(Fate::Committed));
        }
    }

    /// Tells them that nothing has happened; `because_of`: whose INSERT it was.
    pub fn alone(mut self, because_of: Option<usize>) {
        for (index, offer) in self.offers.drain(..).enumerate() {
            offer.set(State::Ended(Fate::Alone { blamed: because_of == Some(index) }));
        }
    }
}

impl Drop for Passengers {
    fn drop(&mut self) {
        let fate = if self.committing {
            Fate::Unknown("the session that committed the INSERT together with others has ended".to_owned())
        } else {
            Fate::Alone { blamed: false }
        };
        for offer in self.offers.drain(..) {
            offer.set(State::Ended(fate.clone()));
        }
    }
}

/// What a session that has an INSERT is to do.
#[derive(Debug)]
pub enum Arrival {
    /// The usual.
    Alone,
    /// Run it, and those that wait.
    Turn(Turn),
    /// Wait.
    Seat(Seat),
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Arc<Offer>>,
    /// Number and beginning of each turn.
    turns: Vec<(u64, Instant)>,
    next_turn: u64,
    /// Members of the last combined transaction, and what such a turn takes.
    last_count: usize,
    took: Duration,
    gathering: Gathering,
    rest: Rest,
}

impl Inner {
    fn patience(&self) -> Duration {
        (self.took * 2).clamp(PATIENCE_MIN, PATIENCE_MAX)
    }
}

/// The sessions of one kind, and their INSERTs.
#[derive(Debug, Default)]
pub struct Combining {
    inner: Mutex<Inner>,
}

impl Combining {
    /// A session has an INSERT; `insert` makes it, if it has to wait.
    pub fn come(self: &Arc<Self>, session: &Arc<SessionHandle>, insert: impl FnOnce() -> Insert) -> Arrival {
        let mut inner = self.inner.lock();
        if inner.rest.lasts() {
            return Arrival::Alone;
        }
        if let Some(turn) = self.turn(&mut inner) {
            return Arrival::Turn(turn);
        }
        drop(inner);
        let offer = Arc::new(Offer { insert: insert(), session: session.clone(), state: Mutex::new(State::Waiting) });
        let mut inner = self.inner.lock();
        if let Some(turn) = self.turn(&mut inner) {
            // It was given back meanwhile.
            return Arrival::Turn(turn);
        }
        inner.queue.push_back(offer.clone());
        Arrival::Seat(Seat { combining: self.clone(), offer })
    }

    /// A turn is waited for so long.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.inner.lock().patience()
    }

    fn turn(self: &Arc<Self>, inner: &mut Inner) -> Option<Turn> {
        let since = Instant::now();
        let patience = inner.patience();
        if inner.turns.iter().any(|(_, earlier)| since < *earlier + patience) {
            return None;
        }
        let id = inner.next_turn;
        inner.next_turn += 1;
        inner.turns.push((id, since));
        // This one's session counts, whatever comes of it.
        let expected = std::mem::replace(&mut inner.last_count, 1) + inner.queue.len();
        Some(Turn { combining: self.clone(), id, since, expected })
    }

    /// A turn for whoever has waited longest.
    fn grant(self: &Arc<Self>, inner: &mut Inner) -> Option<(Arc<Offer>, Turn)> {
        if inner.queue.is_empty() {
            return None;
        }
        let turn = self.turn(inner)?;
        inner.queue.pop_front().map(|offer| (offer, turn))
    }
}

#[cfg(test)]
#[path = "combining_test.rs"]
mod tests;
