//! COPY FROM STDIN: table locks first, then the rows to all members at the pace of the slowest. (`copy_imaged.rs`: the lead alone
//! gets them.)
//!
//! The rows go to the followers before the lead has answered. That is safe only because the written tables (and those that
//! depend on them) are locked on every member first, through the transcript: nobody else's answered statement can
//! wait for, or be waited for by, a row of this COPY.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use raidb_core::ids::MemberId;
use raidb_core::sql::analysis::{CopyForm, CopyIn, FootprintHint, Locked};
use raidb_core::sql::footprint::Footprint;
use raidb_core::sql::key_hash::footprint_of;
use raidb_core::sql::literals::Literals;
use raidb_core::transaction::follower::Step;

use super::Session;
use super::copied_rows::LoggedRows;
use super::foreground::{Reading, UnitEnd};
use super::frames::SentUnit;
use super::present_time::RowScan;
use super::statement::Statement;
use super::transaction::Payload;
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::Owner;
use crate::virtual_database::handles::Cancellable;
use crate::wire::encode;

/// Rows that may wait for one member before the client is no longer read.
pub(super) const BUFFERED_BYTES_MAX: usize = 256 * 1024;

/// Said to the client by way of the lead, which ends the COPY with it.
const PRESENT_TIME: &str =
    "raidb: a value may mean the present time, which each member would read by its own clock; send the time itself";

/// What the client sends next.
pub(super) enum FromClient {
    /// CopyData.
    Rows(Bytes),
    /// CopyDone.
    Done,
    /// CopyFail.
    Failed(String),
    /// Nothing that counts: the lead has answered already (an error in a row).
    Answered,
}

/// The lead's answer to a COPY, as far as it has been read: an error may come in pieces while rows are on their way.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) reading: Reading,
    pub(super) end: UnitEnd,
    /// All of it was read.
    pub(super) whole: bool,
}

impl Session {
    /// Runs one COPY FROM STDIN.
    pub(crate) async fn copy_in(&mut self, statement: &Statement, copy: &CopyIn) -> Result<(), Trouble> {
        self.open_implicit();
        let locked = match &copy.form {
            CopyForm::Locked(locked) => locked,
            CopyForm::Imaged(imaged) => return self.imaged_copy(statement, imaged).await,
        };
        self.lock_for_copy(copy, locked).await?;
        let result = self.copy_rows(statement, copy).await;
        match result {
            Err(Trouble::LeadChanged | Trouble::MemberLost) => {
                Err(SqlError::retry("the lead was lost during COPY").into())
            }
            other => other,
        }
    }

    async fn lock_for_copy(&mut self, copy: &CopyIn, locked: &Locked) -> Result<(), Trouble> {
        loop {
            let attempt = async {
                self.ready_members(true).await?;
                self.lock_tables(&locked.lock_sql, true).await?;
                if copy.table.is_of_session() {
                    self.begin_everywhere().await?;
                }
                self.settle_followers().await
            };
            match attempt.await {
                Err(Trouble::LeadChanged) => self.change_lead().await?,
                Err(Trouble::MemberLost) => self.next_view().await,
                other => return other,
            }
        }
    }

    async fn copy_rows(&mut self, statement: &Statement, copy: &CopyIn) -> Result<(), Trouble> {
        let lead = self.lead();
        let mark = self.staged.len();
        let Some(link) = self.link(lead) else { return Err(Trouble::LeadChanged) };
        link.simple(&[&statement.sql], Owner::Foreground);
        let (end, took) = self.read_client_unit(lead, Session::plain_reading(0)).await?;
        if let Some(frame) = end.error {
            return Err(Trouble::Answer(frame));
        }
        // A member may have joined since the locks were taken, or a connection was lost and opened again.
        if let Err(trouble) = self.settle_followers().await {
            return Err(self.not_begun(lead, mark, trouble).await);
        }
        let index = match self.start_followers(statement, copy, took) {
            Ok(index) => index,
            Err(trouble) => return Err(self.not_begun(lead, mark, trouble).await),
        };
        self.copy_answered = true;
        let result = self.copy_to_all(lead, statement, copy, index).await;
        if result.is_err() {
            // Whatever went wrong: members that wait for rows can be neither cancelled nor rolled back.
            self.end_followers(false);
        }
        result
    }

    /// The lead waits for rows, and the client has not been told so: it is told what is wrong, and nothing else.
    async fn not_begun(&mut self, lead: MemberId, mark: usize, trouble: Trouble) -> Trouble {
        self.staged.truncate(mark);
        self.end_lead(lead, Some("raidb: the other members cannot take the rows"));
        if self.link(lead).is_none() {
            return trouble;
        }
        let silent = Reading { silent: true, ..Reading::default() };
        self.read_client_unit(lead, silent).await.err().unwrap_or(trouble)
    }

    async fn copy_to_all(
        &mut self,
        lead: MemberId,
        statement: &Statement,
        copy: &CopyIn,
        index: usize,
    ) -> Result<(), Trouble> {
        let mut logged = LoggedRows::default();
        let mut answer = Answer::default();
        let cancellable = self.cancellable(lead);
        let ended = self.rows_to_all(statement, copy, &mut logged, &mut answer).await.inspect_err(|trouble| {
            if matches!(trouble, Trouble::Sql(_) | Trouble::Answer(_)) {
                // The lead still waits for rows: as in `read_unit`.
                self.slot(lead).reset();
            }
        });
        let failure = ended?;
        let end = self.end_of_rows(lead, answer, failure.as_deref()).await?.0;
        drop(cancellable);
        if let Some(frame) = end.error {
            return Err(Trouble::Answer(frame));
        }
        let rows = if copy.table.is_of_session() { Vec::new() } else { logged.end(self).await? };
        // From here on the followers' answers are compared with the lead's.
        if let Some(open) = self.open.as_mut() {
            let copied = Payload::Copied { text: statement.sql.clone(), rows };
            open.transcript.set(index, |entry| {
                entry.tag = Some(end.tag.clone());
                entry.payload = copied;
            });
        }
        self.end_followers(true);
        Ok(())
    }

    /// All rows of the client; why they are not to be kept, if so.
    async fn rows_to_all(
        &mut self,
        statement: &Statement,
        copy: &CopyIn,
        logged: &mut LoggedRows,
        answer: &mut Answer,
    ) -> Result<Option<String>, Trouble> {
        self.release_staged();
        self.drive_flush().await?;
        let lead = self.lead();
        let mut scan = RowScan::new(&copy.table, &statement.sql);
        // What is temporary ends with the session: nobody needs its rows from the log.
        let mut logged = (!copy.table.is_of_session()).then_some(logged);
        loop {
            match self.next_of_client(lead, answer).await? {
                FromClient::Rows(frame) if scan.finds(&frame[5..]) => return Ok(Some(PRESENT_TIME.into())),
                FromClient::Rows(frame) => {
                    if let Some(logged) = &mut logged {
                        logged.add(self, &frame).await?;
                    }
                    self.spread(lead, &frame).await?;
                }
                FromClient::Done if scan.finds(&[]) => return Ok(Some(PRESENT_TIME.into())),
                FromClient::Done | FromClient::Answered => return Ok(None),
                FromClient::Failed(reason) => return Ok(Some(reason)),
            }
        }
    }

    /// A cancel request hits the COPY on the lead, which looks for it at every message, for as long as this lives.
    pub(super) fn cancellable(&mut self, lead: MemberId) -> Cancellable {
        let key = self.link(lead).map(|link| link.cancel_key());
        self.handle.cancellable(key)
    }

    /// The lead's answer behind the last row.
    pub(super) async fn end_of_rows(
        &mut self,
        lead: MemberId,
        answer: Answer,
        failure: Option<&str>,
    ) -> Result<(UnitEnd, Duration), Trouble> {
        if answer.whole {
            return Ok((answer.end, Duration::ZERO));
        }
        self.end_lead(lead, failure);
        self.read_client_begun(lead, (answer.reading, answer.end)).await
    }

    /// The followers get the same COPY; their answer is owed to the transcript's new entry.
    fn start_followers(&mut self, statement: &Statement, copy: &CopyIn, took: Duration) -> Result<usize, Trouble> {
        let temporary = copy.table.is_of_session();
        let footprint = match temporary {
            true => Footprint::Nothing,
            false => footprint_of(&FootprintHint::Group, &copy.table, &Literals::none(), &|_| None),
        };
        let copied = Payload::Copied { text: statement.sql.clone(), rows: Vec::new() };
        let before = self.open.as_ref().map_or(0, |open| open.transcript.len());
        self.push_entry(copied, None, &footprint, took)?;
        if temporary {
            self.mark_temporary(before);
        }
        if let Some(open) = self.open.as_mut() {
            open.deferred |= copy.table.has_deferrable;
            open.copies = Some(self.database.copies.clone());
        }
        for member in self.copying_members() {
            let slot = self.slot(member);
            // Only where the transaction is open, with its locks: anywhere else the rows would be committed at once. (All have
            // agreed in this very poll; a member that has not would get the rows from the log, see `send_entries`.)
            if !slot.cursor.begun() || slot.cursor.step(before) != Step::Agreed || (temporary && slot.lacks_temporary) {
                continue;
            }
            let Some(link) = slot.link.as_mut() else { continue };
            link.simple(&[&statement.sql], Owner::Follower);
            slot.units.push_back(SentUnit { entries: 1, ..SentUnit::default() });
            slot.cursor.sent(1);
            slot.deadline = None;
        }
        Ok(before)
    }

    fn copying_members(&self) -> Vec<MemberId> {
        let lead = self.lead();
        self.view.members().filter(|m| *m != lead).collect()
    }

    /// What counts of the client's next messages, unless the lead ends the COPY before (an error in a row).
    pub(super) async fn next_of_client(&mut self, lead: MemberId, answer: &mut Answer) -> Result<FromClient, Trouble> {
        if let Some(tag) = self.behind.take().filter(|tag| !matches!(tag, b'H' | b'S')) {
            return Err(self.out_of_step(tag));
        }
        loop {
            let Some(frame) = self.copy_frame(lead, answer).await? else { return Ok(FromClient::Answered) };
            match frame[0] {
                b'd' => return Ok(FromClient::Rows(frame)),
                b'c' => return Ok(FromClient::Done),
                b'f' => {
                    let reason = frame.get(5..frame.len() - 1).unwrap_or(b"");
                    return Ok(FromClient::Failed(String::from_utf8_lossy(reason).into_owned()));
                }
                b'H' | b'S' => {}
                other => return Err(self.out_of_step(other)),
            }
        }
    }

    /// Something else in place of rows: nobody knows what the client means by what it has sent behind that. Two errors, as PostgreSQL.
    fn out_of_step(&mut self, tag: u8) -> Trouble {
        let error = |message: String| SqlError::new("08P01", message, "");
        error(format!("unexpected message type 0x{tag:02X} during COPY from stdin")).write(self.client.out(), "ERROR");
        Trouble::Fatal(error("terminating connection because protocol synchronization was lost".into()))
    }

    async fn copy_frame(&mut self, lead: MemberId, answer: &mut Answer) -> Result<Option<Bytes>, Trouble> {
        poll_fn(|cx| {
            if answer.whole {
                return Poll::Ready(Ok(None));
            }
            match self.poll_unit(lead, &mut answer.reading, &mut answer.end, cx) {
                Poll::Ready(Ok(())) => {
                    answer.whole = true;
                    return Poll::Ready(Ok(None));
                }
                Poll::Ready(Err(Trouble::ClientGone)) if self.client.has_input() => {}
                Poll::Ready(Err(trouble)) => return Poll::Ready(Err(trouble)),
                Poll::Pending => {}
            }
            match self.client.poll_frame(cx, &[]) {
                Poll::Ready(Ok(head)) => Poll::Ready(Ok(Some(self.client.take(head)))),
                Poll::Ready(Err(_)) => Poll::Ready(Err(Trouble::ClientGone)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// One CopyData to everybody; waits while a member has too much to read.
    async fn spread(&mut self, lead: MemberId, frame: &Bytes) -> Result<(), Trouble> {
        let length = self.open.as_ref().map_or(0, |open| open.transcript.len());
        let mut members = vec![lead];
        for member in self.copying_members() {
            if self.slots[usize::from(member.0)].cursor.step(length) == (Step::Await { doomed: false }) {
                members.push(member);
            }
        }
        let mut full = false;
        for member in &members {
            if let Some(link) = self.link(*member) {
                link.out().extend_from_slice(frame);
                full |= link.out().len() > BUFFERED_BYTES_MAX;
            }
        }
        if !full {
            return Ok(());
        }
        poll_fn(|cx| {
            self.poll_background(cx);
            self.check_lead()?;
            let mut waiting = false;
            for member in &members {
                let Some(link) = self.link(*member) else { continue };
                match link.poll_flush(cx) {
                    Poll::Pending => waiting |= link.out().len() > BUFFERED_BYTES_MAX,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => {
                        self.link_lost(*member, format!("sending rows: {error}"));
                        cx.waker().wake_by_ref();
                    }
                }
            }
            if waiting { Poll::Pending } else { Poll::Ready(Ok(())) }
        })
        .await
    }

    pub(super) fn end_lead(&mut self, lead: MemberId, failure: Option<&str>) {
        if let Some(link) = self.link(lead) {
            match failure {
                Some(reason) => encode::copy_fail(link.out(), reason),
                None => encode::bare(link.out(), b'c'),
            }
        }
    }

    fn end_followers(&mut self, done: bool) {
        let deadline = tokio::time::Instant::now() + self.database.settings.member_timeout;
        for member in self.copying_members() {
            let slot = self.slot(member);
            let Some(link) = slot.link.as_mut() else { continue };
            if done {
                encode::bare(link.out(), b'c');
                slot.deadline = Some(deadline);
            } else {
                encode::copy_fail(link.out(), "raidb: the lead refused the rows");
            }
        }
    }
}
