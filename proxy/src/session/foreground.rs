//! The statement in hand: its unit is read on one member and its frames go to the client, whole, trimmed or not at all.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use raidb_core::ids::MemberId;

use super::trouble::{SqlError, Trouble, is_fatal};
use super::{READ_AHEAD_BYTES_MAX, STAGED_BYTES_MAX, Session};
use crate::members::pg::maintenance::TextRows;
use crate::wire::{FrameHead, decode, encode};

/// A captured row: one value a column.
pub type CapturedRow = Vec<Option<Bytes>>;

/// Captured rows of one statement may take this many bytes; beyond, the statement fails with 54000.
pub const CAPTURE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What a reply of the extended protocol answers.
#[derive(Clone, Debug)]
pub enum Step {
    /// ParseComplete.
    Parse {
        /// The client asked for it.
        visible: bool,
    },
    /// BindComplete.
    Bind {
        /// The client asked for it.
        visible: bool,
    },
    /// CloseComplete.
    Close {
        /// The client asked for it.
        visible: bool,
    },
    /// ParameterDescription and RowDescription or NoData.
    DescribeStatement,
    /// RowDescription or NoData.
    DescribePortal,
    /// Rows and CommandComplete.
    Execute,
    /// Frames that the proxy made itself, in their place.
    Local(Bytes),
}

/// What to do with rows.
#[derive(Clone, Debug, Default)]
pub enum Rows {
    /// To the client as they are.
    #[default]
    Forward,
    /// The last `columns` were added by the proxy: capture them. `hide`: the client asked for no rows at all.
    Capture {
        /// How many.
        columns: usize,
        /// See above.
        hide: bool,
    },
    /// To the client as they are, and all their values are captured too.
    Watch,
    /// Nothing goes to the client.
    Discard,
    /// The proxy's own query: rows are kept as text, by statement.
    Results,
}

/// How to read one unit.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one answer")]
pub struct Reading {
    /// CommandCompletes at the front that the client must not see (BEGIN and the like).
    pub hidden_commands: usize,
    /// Rows.
    pub rows: Rows,
    /// Replies of the extended protocol that are expected; empty for a simple query.
    pub steps: VecDeque<Step>,
    /// The client does not see CommandComplete and the like.
    pub silent: bool,
    /// Nor notices.
    pub no_notices: bool,
    /// What rows look like was told before.
    pub described: bool,
}

/// What a unit came to.
#[derive(Debug, Default)]
pub struct UnitEnd {
    /// The last visible command tag.
    pub tag: Bytes,
    /// All of them, of a unit that nobody sees.
    pub tags: Vec<Bytes>,
    /// The first error, as the member sent it.
    pub error: Option<Bytes>,
    /// Of its ReadyForQuery: I, T or E.
    pub status: u8,
    /// Captured rows.
    pub captured: Vec<CapturedRow>,
    /// ParseCompletes that arrived.
    pub parsed: usize,
    /// The member waits for COPY data; the unit has not ended.
    pub copy_in: bool,
    /// A row limit stopped the statement.
    pub suspended: bool,
    /// Rows of the proxy's own queries.
    pub results: Vec<TextRows>,
    rows: TextRows,
    captured_bytes: usize,
}

impl Session {
    /// Reads the foreground unit on `member` to its end (or to CopyInResponse).
    ///
    /// # Errors
    /// [`Trouble`]; the unit's own error is in the result.
    pub(crate) async fn read_unit(&mut self, member: MemberId, reading: Reading) -> Result<UnitEnd, Trouble> {
        self.read_begun(member, (reading, UnitEnd::default())).await
    }

    /// The same for a unit of which a part has been read.
    ///
    /// # Errors
    /// As in [`Session::read_unit`].
    pub(crate) async fn read_begun(
        &mut self,
        member: MemberId,
        (mut reading, mut end): (Reading, UnitEnd),
    ) -> Result<UnitEnd, Trouble> {
        emit_local(&mut reading.steps, &mut self.staged);
        match poll_fn(|cx| self.poll_unit(member, &mut reading, &mut end, cx)).await {
            Ok(()) => Ok(end),
            Err(trouble) => {
                if matches!(trouble, Trouble::Sql(_) | Trouble::Answer(_)) {
                    // The unit has not ended: whatever is asked next on this connection would read its rest as the answer.
                    // The connection goes, and with it the transaction on the lead (see `abort_after_failure`).
                    self.slot(member).reset();
                }
                Err(trouble)
            }
        }
    }

    pub(crate) fn poll_unit(
        &mut self,
        member: MemberId,
        reading: &mut Reading,
        end: &mut UnitEnd,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Trouble>> {
        self.poll_background(cx);
        loop {
            if self.open.is_some() {
                // A change of lead waits for this session even if its client does not read.
                self.check_lead()?;
            } else if self.locks_lost() {
                // Whoever has got them on the lead waits for this session on followers, however long what it reads takes.
                return Poll::Ready(Err(Trouble::Fatal(super::advisory::locks_are_lost())));
            }
            if self.client.out().len() > STAGED_BYTES_MAX {
                // A slow client: its member waits, nobody else.
                ready!(self.client.poll_flush(cx)).map_err(|_| Trouble::ClientGone)?;
            }
            let head = ready!(self.poll_foreground_frame(member, cx))?;
            if self.take_frame(member, head, reading, end)? {
                return Poll::Ready(Ok(()));
            }
            if self.slot(member).link.is_none() {
                // The member ended the connection: it is judged in the background, which has had its turn in this poll.
                cx.waker().wake_by_ref();
            }
        }
    }

    /// The next frame of the foreground unit on `member`.
    fn poll_foreground_frame(&mut self, member: MemberId, cx: &mut Context<'_>) -> Poll<Result<FrameHead, Trouble>> {
        if self.open.is_some() {
            self.check_lead()?;
        }
        if !self.view.is_enabled(member) {
            return Poll::Ready(Err(Trouble::MemberLost));
        }
        let lead_in_use = self.open.as_ref().is_some_and(|open| open.lead_begun);
        let slot = self.slot(member);
        if slot.last_down {
            slot.last_down = false;
            slot.lost = false;
            return Poll::Ready(Err(SqlError::no_member().into()));
        }
        let Some(link) = slot.link.as_mut() else {
            // While the member is judged, wait; if it lives, only this connection was lost.
            return if slot.lost || lead_in_use { Poll::Pending } else { Poll::Ready(Err(Trouble::MemberLost)) };
        };
        let flushed = link.poll_flush(cx);
        if !link.foreground_next() && !matches!(flushed, Poll::Ready(Err(_))) {
            return Poll::Pending;
        }
        let polled = match flushed {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => link.poll_foreground(cx, b"Dd"),
        };
        match polled {
            Poll::Ready(Ok(head)) => Poll::Ready(Ok(head)),
            Poll::Ready(Err(error)) => {
                self.link_lost(member, format!("waiting for an answer: {error}"));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => {
                if self.client.poll_gone(cx, READ_AHEAD_BYTES_MAX).is_ready() {
                    self.client_gone = true;
                    return Poll::Ready(Err(Trouble::ClientGone));
                }
                Poll::Pending
            }
        }
    }

    /// Handles one frame. True at the end of the unit (or where COPY data is wanted).
    fn take_frame(
        &mut self,
        member: MemberId,
        head: FrameHead,
        reading: &mut Reading,
        end: &mut UnitEnd,
    ) -> Result<bool, Trouble> {
        let slot = &mut self.slots[usize::from(member.0)];
        let Some(link) = slot.link.as_mut() else { return Ok(false) };
        let frame = link.peek(head);
        let staged = &mut self.staged;
        let mut release = false;
        let mut over = false;
        match head.tag {
            // The answer to a query of the proxy's own before the client's.
            b'T' | b'D' if reading.hidden_commands > 0 => {}
            b'T' if reading.described && reading.steps.is_empty() => {}
            b'D' | b'd' => {
                if !reading.silent && self.look.as_ref().is_some_and(|look| look.single) {
                    self.look = None;
                }
                if head.tag == b'D' && !head.continued && !head.more {
                    take_row(frame, reading, end, staged)?;
                } else if !matches!(reading.rows, Rows::Forward | Rows::Watch) && head.tag == b'D' {
                    return Err(SqlError::new(
                        "54000",
                        "a row is too large to be captured",
                        "Write rows of less than 256 KiB here, or give their values in the statement.",
                    )
                    .into());
                } else if !matches!(reading.rows, Rows::Discard | Rows::Results) {
                    staged.extend_from_slice(frame);
                }
                release = staged.len() > STAGED_BYTES_MAX;
            }
            b'Z' => {
                end.status = frame.get(5).copied().unwrap_or_default();
                over = true;
            }
            b'E' => {
                if is_fatal(frame) {
                    let message = decode::error_field(frame, b'M').unwrap_or(b"?");
                    let detail = format!("the member ended the connection: {}", String::from_utf8_lossy(message));
                    self.link_lost(member, detail);
                    return Ok(false);
                }
                if end.error.is_none() {
                    end.error = Some(Bytes::copy_from_slice(frame));
                }
            }
            b'G' => {
                end.copy_in = true;
                staged.extend_from_slice(frame);
                over = true;
            }
            b'W' => {
                end.error = Some(local_error(&SqlError::refused(
                    "replication connections are not supported",
                    "Connect to a member directly.",
                )));
            }
            // The error has undone a setting.
            b'S' if end.error.is_some() => staged.extend_from_slice(frame),
            _ if end.error.is_some() => {}
            tag => take_control(tag, frame, reading, end, staged),
        }
        link.consume(head);
        if release {
            self.release_staged();
            self.released = true;
        }
        Ok(over)
    }

    /// Waits until the tickets are finished on the member (strict reads, snapshots).
    pub(crate) async fn wait_tickets(
        &mut self,
        member: MemberId,
        tickets: Vec<std::sync::Arc<crate::virtual_database::in_flight::Ticket>>,
    ) -> Result<(), Trouble> {
        if tickets.is_empty() {
            return Ok(());
        }
        let handle = self.handle.clone();
        poll_fn(|cx| {
            self.poll_background(cx);
            if !self.view.is_enabled(member) {
                return Poll::Ready(Err(Trouble::MemberLost));
            }
            if super::following::barrier_clear(&tickets, member, &handle) { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }
}

/// An ErrorResponse made here, in the shape of a member's.
#[must_use]
pub fn local_error(error: &SqlError) -> Bytes {
    let mut out = BytesMut::new();
    error.write(&mut out, "ERROR");
    out.freeze()
}

fn take_row(frame: &[u8], reading: &Reading, end: &mut UnitEnd, staged: &mut BytesMut) -> Result<(), Trouble> {
    let Rows::Capture { columns, hide } = reading.rows else {
        match reading.rows {
            Rows::Forward => staged.extend_from_slice(frame),
            Rows::Watch => {
                let values = decode::split_row(frame, decode::column_count(frame)).map(|(_, values)| values);
                let values = values.unwrap_or_default().into_iter().map(|v| v.map(Bytes::copy_from_slice));
                end.captured.push(values.collect());
                staged.extend_from_slice(frame);
            }
            Rows::Results => end.rows.push(decode::text_row(frame)),
            Rows::Discard | Rows::Capture { .. } => {}
        }
        return Ok(());
    };
    let malformed = || Trouble::Fatal(SqlError::new("08P01", "a member sent a malformed row", "See the member's log."));
    let (kept, values) = decode::split_row(frame, columns).ok_or_else(malformed)?;
    end.captured_bytes += values.iter().flatten().map(|v| v.len() + 16).sum::<usize>();
    if end.captured_bytes > CAPTURE_BYTES_MAX {
        return Err(SqlError::new(
            "54000",
            format!("the statement touches more rows than can be captured ({CAPTURE_BYTES_MAX} bytes)"),
            "Run it in smaller portions.",
        )
        .into());
    }
    end.captured.push(values.into_iter().map(|v| v.map(Bytes::copy_from_slice)).collect());
    if !hide {
        let count = decode::column_count(frame) - columns;
        encode::frame(staged, b'D', |out| {
            out.put_u16(u16::try_from(count).unwrap_or(u16::MAX));
            out.put_slice(kept);
        });
    }
    Ok(())
}

fn take_control(tag: u8, frame: &[u8], reading: &mut Reading, end: &mut UnitEnd, staged: &mut BytesMut) {
    match tag {
        b'C' if reading.hidden_commands > 0 => {
            reading.hidden_commands -= 1;
            done_step(reading, staged);
        }
        b'C' | b'I' | b's' => {
            end.suspended = tag == b's';
            end.results.push(std::mem::take(&mut end.rows));
            end.tag = if tag == b'C' { Bytes::copy_from_slice(decode::command_tag(frame)) } else { Bytes::new() };
            if reading.silent {
                end.tags.push(end.tag.clone());
            } else {
                staged.extend_from_slice(frame);
            }
            done_step(reading, staged);
        }
        b'T' => {
            describe_rows(frame, reading, staged);
            if !reading.steps.is_empty() {
                done_step(reading, staged);
            }
        }
        b'n' => {
            staged.extend_from_slice(frame);
            done_step(reading, staged);
        }
        b't' => staged.extend_from_slice(frame),
        b'1' | b'2' | b'3' => {
            end.parsed += usize::from(tag == b'1');
            let visible = match reading.steps.front() {
                Some(Step::Parse { visible } | Step::Bind { visible } | Step::Close { visible }) => *visible,
                _ => false,
            };
            if visible {
                staged.extend_from_slice(frame);
            }
            done_step(reading, staged);
        }
        // The proxy delivers notifications; a function may have listened to something on this connection.
        b'A' => {}
        // Notices, parameter changes, COPY out, function results.
        _ if !reading.silent || tag == b'S' || tag == b'N' && !reading.no_notices => staged.extend_from_slice(frame),
        _ => {}
    }
}

fn describe_rows(frame: &[u8], reading: &Reading, staged: &mut BytesMut) {
    match reading.rows {
        Rows::Forward | Rows::Watch => staged.extend_from_slice(frame),
        Rows::Discard | Rows::Results => {}
        Rows::Capture { hide: true, .. } => {
            // A simple query without rows has no description; Describe is answered with NoData.
            if !reading.steps.is_empty() {
                encode::bare(staged, b'n');
            }
        }
        Rows::Capture { columns, .. } => {
            let keep = decode::column_count(frame).saturating_sub(columns);
            let kept = decode::keep_descriptions(frame, keep).unwrap_or(&[]);
            encode::frame(staged, b'T', |out| {
                out.put_u16(u16::try_from(keep).unwrap_or(u16::MAX));
                out.put_slice(kept);
            });
        }
    }
}

fn done_step(reading: &mut Reading, staged: &mut BytesMut) {
    reading.steps.pop_front();
    emit_local(&mut reading.steps, staged);
}

fn emit_local(steps: &mut VecDeque<Step>, staged: &mut BytesMut) {
    while let Some(Step::Local(bytes)) = steps.front() {
        staged.extend_from_slice(bytes);
        steps.pop_front();
    }
}
