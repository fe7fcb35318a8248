//! The line of one member: its connection, its queue, and the task that works it off.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use raidb_core::ids::MemberId;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use super::unit::{self, Ended, Known, Written};
use super::{Answer, Job, Kind, meaning};
use crate::members::pg::connect::{self, Reported};
use crate::members::pg::link::{Link, Owner, UnitOutcome};
use crate::members::pg::target::StartupParameters;
use crate::virtual_database::VirtualDatabase;
use crate::virtual_database::settings::MEMBER_FRAMES;
use crate::wire::WireError;

/// Most transactions of one unit. (The queue itself is bounded by the number of sessions: each waits for its own.)
const UNIT_TRANSACTIONS_MAX: usize = 128;
/// Statement bytes behind which a unit takes no further transaction.
const UNIT_BYTES_MAX: usize = 1 << 20;
/// What is said of a member that committed something else.
const DIFFERENTLY: &str = "the member committed with another answer than the lead's";
/// What is said of a member whose connections read texts differently now, and when it is looked at again.
const UNFIT: &str = "settings on the member have changed since the session began";
const UNFIT_PAUSE: Duration = Duration::from_secs(30);
/// A unit of which the statements have run waits so long for the decision of its transactions (a flush of the log), but no longer
/// than a quarter of `member_timeout`: those that are decided, and those behind it, have that time limit.
const DECISION_LIMIT: Duration = Duration::from_millis(375);
/// What is said of a transaction that was not decided in time: it goes the usual way when it is.
const UNDECIDED: &str = "the log takes its time";
/// While a member does not answer, it is looked after this time whether it has left the view.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug)]
pub(super) struct Line {
    queue: Mutex<Vec<Job>>,
    filled: Notify,
}

/// A connection with its place among the member's.
struct Connection {
    link: Link,
    known: Known,
    _permit: OwnedSemaphorePermit,
}

impl Line {
    /// Starts the task of a line on the present thread.
    pub(super) fn start(database: &Arc<VirtualDatabase>, member: MemberId, kind: &Kind) -> Arc<Line> {
        let line = Arc::new(Line { queue: Mutex::default(), filled: Notify::new() });
        let name = (Bytes::from_static(b"application_name"), Bytes::from_static(b"raidb together"));
        let parameters = std::iter::once(name).chain(kind.parameters.iter().cloned()).collect();
        let meaning = kind.meaning.clone();
        let worker = Worker {
            database: database.clone(),
            member,
            parameters,
            meaning,
            unfit_until: None,
            line: line.clone(),
            connection: None,
        };
        tokio::spawn(worker.run());
        line
    }

    /// Queues a transaction.
    pub(super) fn submit(&self, job: Job) {
        self.queue.lock().push(job);
        self.filled.notify_one();
    }

    /// Takes from the front what makes one unit, and forgets what is not wanted on the member any more.
    fn take(&self, member: MemberId) -> Vec<Job> {
        let mut queue = self.queue.lock();
        queue.retain(|job| job.whole.ticket.pending_on(member));
        let mut bytes = 0;
        let fits = |job: &&Job| {
            bytes += job.whole.statements.iter().map(|statement| statement.payload.size()).sum::<usize>();
            bytes <= UNIT_BYTES_MAX
        };
        let count = queue.iter().take(UNIT_TRANSACTIONS_MAX).take_while(fits).count().max(1).min(queue.len());
        queue.drain(..count).collect()
    }
}

struct Worker {
    database: Arc<VirtualDatabase>,
    member: MemberId,
    parameters: StartupParameters,
    meaning: Reported,
    /// Connections to the member read texts differently; looked at again then.
    unfit_until: Option<Instant>,
    line: Arc<Line>,
    connection: Option<Connection>,
}

/// What came of a unit.
enum Sent {
    Answered {
        ended: Ended,
        outcome: UnitOutcome,
    },
    /// One of them was not decided in time, or withdrawn: rolled back.
    Undecided,
    /// Behind COMMIT: nobody knows.
    Lost(WireError),
    /// Before COMMIT.
    LostBefore(WireError),
    /// The member has left the view: nobody waits for it any more.
    Left,
}

impl Sent {
    /// The same of a unit whose COMMIT was not written: what is lost then is not there.
    fn before_commit(self) -> Sent {
        match self {
            Sent::Lost(error) => Sent::LostBefore(error),
            other => other,
        }
    }
}

impl Worker {
    async fn run(mut self) {
        loop {
            self.filled().await;
            while !self.line.queue.lock().is_empty() {
                self.turn().await;
            }
        }
    }

    /// Waits for the next transaction. A connection that ends meanwhile is given up, with nothing under way on it.
    async fn filled(&mut self) {
        let filled = self.line.filled.notified();
        tokio::pin!(filled);
        poll_fn(|cx| {
            if let Some(Connection { link, .. }) = &mut self.connection
                && let Poll::Ready(Err(_)) = answer(link, cx)
            {
                self.connection = None;
            }
            filled.as_mut().poll(cx)
        })
        .await;
    }

    async fn turn(&mut self) {
        if self.connection.is_none()
            && let Err(why) = self.connect().await
        {
            let queued = std::mem::take(&mut *self.line.queue.lock());
            queued.into_iter().for_each(|job| job.answer(Answer::Unsent(why.clone())));
            return;
        }
        // No wait between this look at what is wanted and the frames (see the module).
        let jobs = self.line.take(self.member);
        if jobs.is_empty() {
            return;
        }
        match self.send(&jobs).await {
            Sent::Answered { ended: Ended::Committed, .. } => self.committed(jobs),
            Sent::Answered { ended: Ended::Differently, .. } => self.differently(jobs),
            Sent::Answered { outcome, .. } => {
                self.forget();
                // What was refused did not wait for the others' decisions; they need not replay because of it.
                if let Err(error) = self.decided(&jobs).await {
                    return self.unsent(jobs, &error.to_string());
                }
                let refusal = (jobs.len() == 1).then_some(outcome);
                self.one_by_one(jobs, refusal).await;
            }
            Sent::Undecided => self.one_by_one(jobs, None).await,
            Sent::Lost(error) => self.lost(jobs, &error.to_string()),
            Sent::LostBefore(error) => self.unsent(jobs, &error.to_string()),
            Sent::Left => self.connection = None,
        }
    }

    fn committed(&self, jobs: Vec<Job>) {
        for job in jobs {
            self.database.in_flight.finished(&job.whole.ticket, self.member);
            job.answer(Answer::Committed);
        }
    }

    fn differently(&mut self, jobs: Vec<Job>) {
        self.connection = None;
        jobs.into_iter().for_each(|job| job.answer(Answer::Differently));
    }

    fn unsent(&mut self, jobs: impl IntoIterator<Item = Job>, why: &str) {
        self.connection = None;
        jobs.into_iter().for_each(|job| job.answer(Answer::Unsent(why.to_owned())));
    }

    fn lost(&mut self, jobs: Vec<Job>, why: &str) {
        self.connection = None;
        for job in jobs {
            job.answer(Answer::Lost(format!("decided transactions: {why}")));
        }
    }

    /// One of them was refused (or is not decided), and with it all: each gets a transaction of its own, so that only that one is
    /// told. `refusal`: how the only one was refused.
    async fn one_by_one(&mut self, jobs: Vec<Job>, mut refusal: Option<UnitOutcome>) {
        let mut rest = jobs.into_iter();
        while let Some(job) = rest.next() {
            if !job.whole.ticket.pending_on(self.member) {
                continue;
            }
            if job.whole.decision.mark().is_none() {
                // Nobody waits for it by itself. If it was withdrawn nobody looks at this either.
                job.answer(Answer::Unsent(UNDECIDED.to_owned()));
                continue;
            }
            match self.alone(job, refusal.take()).await {
                Ok(()) => {}
                Err(Some(why)) => {
                    // Those behind it were rolled back with the first unit.
                    return rest.for_each(|job| job.answer(Answer::Unsent(why.clone())));
                }
                Err(None) => return,
            }
        }
    }

    /// One transaction by itself; `refusal`: how it was refused already. If it was, once more with its literals where they
    /// were: as parameters they may have had no type.
    ///
    /// # Errors
    /// Why the connection was lost; `None`: the member has left.
    async fn alone(&mut self, job: Job, mut refusal: Option<UnitOutcome>) -> Result<(), Option<String>> {
        let one = vec![job];
        let mut plainly = false;
        loop {
            if refusal.is_some() {
                let again = match &mut self.connection {
                    Some(Connection { known, .. }) if !plainly => one.iter().any(|job| known.plainly(job)),
                    _ => false,
                };
                if !again {
                    if let Some(Connection { known, .. }) = self.connection.as_mut().filter(|_| plainly) {
                        one.iter().for_each(|job| known.fit(job));
                    }
                    let outcome = refusal.unwrap_or_else(UnitOutcome::plain);
                    one.into_iter().for_each(|job| job.answer(Answer::Refused(outcome.clone())));
                    return Ok(());
                }
                plainly = true;
            }
            match self.send(&one).await {
                Sent::Answered { ended: Ended::Committed, .. } => {
                    self.committed(one);
                    return Ok(());
                }
                Sent::Answered { ended: Ended::Differently, .. } => {
                    self.differently(one);
                    return Err(Some(DIFFERENTLY.to_owned()));
                }
                Sent::Answered { outcome, .. } => {
                    self.forget();
                    refusal = Some(outcome);
                }
                Sent::Lost(error) => {
                    let why = error.to_string();
                    self.lost(one, &why);
                    return Err(Some(why));
                }
                Sent::LostBefore(error) => {
                    let why = error.to_string();
                    self.unsent(one, &why);
                    return Err(Some(why));
                }
                // It is decided.
                Sent::Undecided => {
                    one.into_iter().for_each(|job| job.answer(Answer::Unsent(UNDECIDED.to_owned())));
                    return Ok(());
                }
                Sent::Left => {
                    self.connection = None;
                    return Err(None);
                }
            }
        }
    }

    fn forget(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.known.forget(&mut connection.link);
        }
    }

    async fn send(&mut self, jobs: &[Job]) -> Sent {
        let Some(Connection { link, known, .. }) = &mut self.connection else {
            return Sent::Lost(WireError::Closed);
        };
        known.under(self.database.ddl_ended(), link);
        let written = unit::write(link, known, jobs);
        if let Written::Asked(tags) = written {
            let alike = self.patient(|link, cx| match flushed(link, cx) {
                Some(error) => Poll::Ready(Err(error)),
                None => link.poll_tags(cx, tags).map_ok(|answered| unit::alike(jobs, written, answered)),
            });
            let alike = match alike.await {
                // What is to be rolled back waits for nobody.
                Ok(true) => self.decided(jobs).await.map(|()| true).map_err(Sent::Lost),
                other => other,
            };
            let alike = match alike {
                Ok(alike) => alike,
                Err(sent) => return sent.before_commit(),
            };
            let counts = alike && unit::count(jobs);
            if let Some(Connection { link, known, .. }) = &mut self.connection {
                unit::finish(link, known, jobs, counts);
            }
            if !counts {
                return match self.patient(answer).await {
                    Ok(_) if alike => Sent::Undecided,
                    Ok(outcome) => Sent::Answered { ended: Ended::RolledBack, outcome },
                    Err(sent) => sent.before_commit(),
                };
            }
        }
        match self.patient(answer).await {
            Ok(outcome) => Sent::Answered { ended: unit::ended(jobs, written, &outcome), outcome },
            Err(sent) => sent,
        }
    }

    /// Waits until of each of these is known whether it counts, or for as long as that may take. A connection that ends meanwhile
    /// is noticed.
    async fn decided(&mut self, jobs: &[Job]) -> Result<(), WireError> {
        let limit = DECISION_LIMIT.min(self.database.settings.member_timeout / 4);
        let mut known = pin!(tokio::time::timeout(limit, decided(jobs)));
        let Some(Connection { link, .. }) = &mut self.connection else { return Err(WireError::Closed) };
        poll_fn(|cx| {
            if known.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            match answer(link, cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                // Nothing was asked that would be answered.
                Poll::Ready(Ok(_)) => Poll::Ready(Err(WireError::Closed)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Waits for the member as long as it is in the view: the sessions have the time limit, and report it when that is over.
    async fn patient<T>(
        &mut self,
        mut poll: impl FnMut(&mut Link, &mut Context<'_>) -> Poll<Result<T, WireError>>,
    ) -> Result<T, Sent> {
        let Some(Connection { link, .. }) = &mut self.connection else { return Err(Sent::Lost(WireError::Closed)) };
        loop {
            match tokio::time::timeout(LOOK_EVERY, poll_fn(|cx| poll(link, cx))).await {
                Ok(result) => return result.map_err(Sent::Lost),
                Err(_) if self.database.view().is_enabled(self.member) => {}
                Err(_) => return Err(Sent::Left),
            }
        }
    }

    async fn connect(&mut self) -> Result<(), String> {
        if self.unfit_until.is_some_and(|until| Instant::now() < until) {
            return Err(UNFIT.into());
        }
        let member = self.database.member(self.member);
        let Some(permit) = member.slot() else {
            return Err(format!("no connection to spare: the limit is {}", member.connections_max()));
        };
        let within = self.database.settings.member_timeout;
        match connect::connect(&member.target, &member.login, &self.parameters, MEMBER_FRAMES, within).await {
            Ok((link, reported)) if meaning(&reported) != self.meaning => {
                self.unfit_until = Some(Instant::now() + UNFIT_PAUSE);
                link.close().await;
                Err(UNFIT.into())
            }
            Ok((link, _)) => {
                self.connection = Some(Connection { link, known: Known::default(), _permit: permit });
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Waits until of each of these is known whether it counts.
async fn decided(jobs: &[Job]) {
    for job in jobs {
        job.whole.decision.known().await;
    }
}

/// Sends what is buffered; an error, if that fails.
fn flushed(link: &mut Link, cx: &mut Context<'_>) -> Option<WireError> {
    match link.poll_flush(cx) {
        Poll::Ready(Err(error)) => Some(error),
        Poll::Ready(Ok(())) | Poll::Pending => None,
    }
}

/// The next follower unit's answer; flushes while it waits.
fn answer(link: &mut Link, cx: &mut Context<'_>) -> Poll<Result<UnitOutcome, WireError>> {
    if let Some(error) = flushed(link, cx) {
        return Poll::Ready(Err(error));
    }
    loop {
        match link.poll_background(cx) {
            Poll::Ready(Ok(Some((Owner::Follower, outcome)))) => return Poll::Ready(Ok(outcome)),
            Poll::Ready(Ok(Some(_))) => {}
            Poll::Ready(Ok(None)) => return Poll::Ready(Err(WireError::Closed)),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    }
}
