//! COPY FROM STDIN of which the lead alone can know the rows: defaults that each member would compute for itself, triggers of users.
//!
//! ```text
//!   SAVEPOINT; what has the transaction done so far?     hidden
//!   COPY; the client's rows                              to the lead alone
//!   what has it done now? the images                     hidden; they go to the followers
//! ```
//! As every imaged statement (`imaged.rs`) it may have to run again, when it has written a table that takes no images yet: then
//! the lead gets the same rows once more, if they are few enough to have been kept.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use raidb_core::ids::MemberId;
use raidb_core::sql::analysis::Imaged;
use tokio::time::Instant;

use super::Session;
use super::copy::{Answer, BUFFERED_BYTES_MAX, FromClient};
use super::foreground::{CAPTURE_BYTES_MAX, UnitEnd};
use super::statement::Statement;
use super::trouble::{SqlError, Trouble};

/// Rows of one COPY that are kept so that it can run twice; beyond, what needs that fails with 40001.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// Rows of one COPY; beyond, it fails with 54000, before the lead has taken images of all of them.
const COPIED_BYTES_MAX: usize = CAPTURE_BYTES_MAX;

/// What the client has sent.
#[derive(Default)]
struct ClientRows {
    /// The client was asked for them.
    asked: bool,
    /// It has sent all of them.
    ended: bool,
    bytes: usize,
    /// CopyData messages; `None`: too many to keep.
    kept: Option<BytesMut>,
}

/// Said to the lead, which ends the COPY; the client is told of the limit.
const TOO_MANY: &str = "raidb: too many rows";

impl ClientRows {
    fn add(&mut self, frame: &Bytes) {
        self.bytes += frame.len();
        if self.bytes > KEPT_BYTES_MAX {
            self.kept = None;
        } else if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(frame);
        }
    }

    fn too_many(&self) -> bool {
        self.bytes > COPIED_BYTES_MAX
    }
}

impl Session {
    /// Runs one COPY FROM STDIN on the lead alone, with images.
    pub(super) async fn imaged_copy(&mut self, statement: &Statement, imaged: &Imaged) -> Result<(), Trouble> {
        let mut rows = ClientRows { kept: Some(BytesMut::new()), ..ClientRows::default() };
        let mark = self.staged.len();
        loop {
            let result = self.try_imaged_copy(statement, imaged, &mut rows).await;
            let lost = matches!(result, Err(Trouble::LeadChanged | Trouble::MemberLost));
            // One that was undone to run again has not failed.
            if rows.asked && matches!(&result, Err(trouble) if !matches!(trouble, Trouble::Undone)) {
                self.effects_unsure(statement);
            }
            match result {
                Err(Trouble::Undone) => {}
                Err(_) if lost && rows.asked => {
                    self.staged.clear();
                    return self.over(Err(SqlError::retry("the lead was lost during COPY").into()));
                }
                Err(Trouble::LeadChanged) => {
                    self.staged.truncate(mark);
                    self.change_lead().await?;
                }
                Err(Trouble::MemberLost) => {
                    self.staged.truncate(mark);
                    self.next_view().await;
                }
                other if rows.asked => return self.over(other),
                other => return other,
            }
        }
    }

    /// The client has sent its rows, or passes over to something else: nothing can be run again without it.
    fn over(&mut self, result: Result<(), Trouble>) -> Result<(), Trouble> {
        self.stale = false;
        result
    }

    async fn try_imaged_copy(
        &mut self,
        statement: &Statement,
        imaged: &Imaged,
        rows: &mut ClientRows,
    ) -> Result<(), Trouble> {
        let lead = self.ready_members(true).await?;
        self.before_statement(statement, lead).await?;
        let mut before = self.begin_images(imaged).await?;
        if !rows.asked {
            // Behind the rows it could not be judged again.
            self.check_generation(statement).await?;
        }
        let mark = self.staged.len();
        let Some(link) = self.link(lead) else { return Err(Trouble::LeadChanged) };
        link.simple(&[&statement.sql], crate::members::pg::link::Owner::Foreground);
        let (end, took) = self.read_client_unit(lead, Session::plain_reading(0)).await?;
        if !end.copy_in {
            return self.behind_images(statement, before, end, took, 0).await;
        }
        if rows.asked {
            self.staged.truncate(mark);
        } else {
            rows.asked = true;
            self.copy_answered = true;
            self.release_staged();
        }
        let mark = self.staged.len();
        let result = match self.rows_to_lead(lead, statement, rows).await {
            Ok(_) if rows.too_many() => Err(SqlError::new(
                "54000",
                format!("COPY has more rows than images can be taken of ({COPIED_BYTES_MAX} bytes)"),
                format!("Copy them in smaller portions, each with a COPY of its own. ({})", imaged.instead_of.hint),
            )
            .into()),
            Ok((end, took)) => {
                before.once = rows.kept.is_none();
                self.behind_images(statement, before, end, took, 0).await
            }
            Err(trouble) => Err(trouble),
        };
        match result {
            Err(Trouble::Sql(error)) => Err(self.answer_dropped(error, statement, mark)),
            Err(trouble) if !self.released => {
                self.staged.truncate(mark);
                Err(trouble)
            }
            other => other,
        }
    }

    /// The client's rows, or those that were kept of it; then the lead's answer, and how long the lead took.
    async fn rows_to_lead(
        &mut self,
        lead: MemberId,
        statement: &Statement,
        rows: &mut ClientRows,
    ) -> Result<(UnitEnd, Duration), Trouble> {
        let mut answer = Answer::default();
        let _cancellable = self.cancellable(lead);
        let sent = self.send_rows(lead, statement, rows, &mut answer).await;
        // The lead may still wait for rows: nothing else can be asked on that connection.
        let (failure, waited) = sent.inspect_err(|_| self.slot(lead).reset())?;
        let (end, took) = self.end_of_rows(lead, answer, failure.as_deref()).await?;
        Ok((end, waited + took))
    }

    /// Why the rows are not to be kept, if so; and how long the lead kept them waiting.
    async fn send_rows(
        &mut self,
        lead: MemberId,
        statement: &Statement,
        rows: &mut ClientRows,
        answer: &mut Answer,
    ) -> Result<(Option<String>, Duration), Trouble> {
        let mut waited = Duration::ZERO;
        let mut failure = None;
        if rows.ended {
            if let (Some(link), Some(kept)) = (self.link(lead), &rows.kept) {
                link.out().extend_from_slice(kept);
            }
        } else {
            self.drive_flush().await?;
        }
        while !rows.ended && failure.is_none() {
            match self.next_of_client(lead, answer).await? {
                FromClient::Rows(frame) => {
                    rows.add(&frame);
                    failure = rows.too_many().then(|| TOO_MANY.to_owned());
                    if let Some(link) = self.link(lead) {
                        link.out().extend_from_slice(&frame);
                    }
                    waited += self.room(lead, answer).await?;
                }
                FromClient::Done | FromClient::Answered => rows.ended = true,
                FromClient::Failed(reason) => failure = Some(reason),
            }
        }
        // Triggers of the rows read now.
        self.look_on_lead(statement, lead).await?;
        Ok((failure, waited))
    }

    /// Waits while the lead has too much to read. Its notices are read meanwhile: it could wait for that.
    async fn room(&mut self, lead: MemberId, answer: &mut Answer) -> Result<Duration, Trouble> {
        let started = Instant::now();
        let full = |session: &mut Self| session.link(lead).is_some_and(|link| link.out().len() > BUFFERED_BYTES_MAX);
        if !full(self) {
            return Ok(Duration::ZERO);
        }
        poll_fn(|cx| {
            if !answer.whole {
                match self.poll_unit(lead, &mut answer.reading, &mut answer.end, cx) {
                    Poll::Ready(Ok(())) => answer.whole = true,
                    Poll::Ready(Err(Trouble::ClientGone)) if self.client.has_input() => {}
                    Poll::Ready(Err(trouble)) => return Poll::Ready(Err(trouble)),
                    Poll::Pending => {}
                }
            }
            if answer.whole || !full(self) { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await?;
        Ok(started.elapsed())
    }
}
