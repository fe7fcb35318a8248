//! One session's connection to one member.
//!
//! Everything that is sent makes a *unit*: frames that the member answers with exactly one ReadyForQuery. A link
//! knows which units it still owes an answer, so that units sent in the background (settings, a follower's
//! statements) and the one in the foreground never mix.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use super::cancel::CancelKey;
use super::target::Target;
use crate::wire::{Channel, FrameHead, WireError, decode, encode};

/// What a unit of the background came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitOutcome {
    /// Command tags, in order.
    pub tags: Vec<Bytes>,
    /// Transaction status that ReadyForQuery tells: `I`, `T` or `E`.
    pub status: u8,
    /// ParameterStatus frames that came with it.
    pub reports: BytesMut,
    /// SQLSTATE and message of the first error.
    pub error: Option<([u8; 5], String)>,
    /// The same, as the member sent it.
    pub error_frame: Option<Bytes>,
}

/// Who waits for a unit's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The session reads the frames itself.
    Foreground,
    /// The follower machine gets the outcome.
    Follower,
    /// A setting that every connection of the session gets; it must succeed.
    Setting,
    /// A setting that was made earlier, repeated on a new connection. The lead is not asked again: if it is refused, it may be
    /// refused everywhere now.
    Repeated,
    /// Whoever asked whether the transaction is still open.
    Proof,
    /// Advisory locks of the session that are taken, or given back, on this connection too.
    Locks,
    /// Whoever has opened a savepoint of the proxy (a probe, images, the parser): its end must succeed, or the transaction is in an
    /// error that nobody knows of.
    ProbeEnd,
    /// Nobody.
    Discarded,
}

/// Statements prepared on a connection: name → identity of the text behind it.
#[derive(Debug, Default)]
struct PreparedNames(HashMap<Bytes, u64>);

/// A connection to a member.
#[derive(Debug)]
pub struct Link {
    target: Arc<Target>,
    channel: Channel,
    key: (u32, u32),
    units: VecDeque<Owner>,
    prepared: PreparedNames,
    partial: UnitOutcome,
    /// Notifications that came, if somebody takes them.
    notifications: Option<VecDeque<Bytes>>,
}

/// See [`Link::prepare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// A Parse was written.
    pub parsed: bool,
    /// And a Close before it.
    pub closed: bool,
}

impl UnitOutcome {
    /// The last command tag; empty if there is none.
    #[must_use]
    pub fn tag(&self) -> &[u8] {
        self.tags.last().map_or(b"", |tag| tag)
    }

    /// A unit that did what was asked, of which nothing else is of interest.
    #[must_use]
    pub fn plain() -> Self {
        UnitOutcome { tags: Vec::new(), status: b'I', reports: BytesMut::new(), error: None, error_frame: None }
    }
}

impl Link {
    pub(super) fn new(target: Arc<Target>, channel: Channel, key: (u32, u32)) -> Self {
        Link {
            target,
            channel,
            key,
            units: VecDeque::new(),
            prepared: PreparedNames::default(),
            partial: UnitOutcome::plain(),
            notifications: None,
        }
    }

    /// The next notification that came, as its frame. Before the first call none is kept: a session's function may LISTEN here, and
    /// nobody takes what comes of that.
    pub fn take_notification(&mut self) -> Option<Bytes> {
        self.notifications.get_or_insert_default().pop_front()
    }

    /// The member behind it.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Process id on the member.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.key.0
    }

    /// For cancelling what runs here.
    #[must_use]
    pub fn cancel_key(&self) -> CancelKey {
        CancelKey { target: self.target.clone(), pid: self.key.0, key: self.key.1 }
    }

    /// Where frames of the next unit go; call [`Link::unit`] once behind them.
    pub fn out(&mut self) -> &mut BytesMut {
        self.channel.out()
    }

    /// Notes that the frames appended since the last call end in one ReadyForQuery.
    pub fn unit(&mut self, owner: Owner) {
        self.units.push_back(owner);
    }

    /// A unit of one simple query.
    pub fn simple(&mut self, pieces: &[&[u8]], owner: Owner) {
        encode::query(self.channel.out(), pieces);
        // PostgreSQL drops the unnamed statement at every simple query.
        self.prepared.0.remove(&b""[..]);
        self.units.push_back(owner);
    }

    /// Whether answers are owed.
    #[must_use]
    pub fn busy(&self) -> bool {
        !self.units.is_empty()
    }

    /// Whether answers are owed to this one.
    #[must_use]
    pub fn owes(&self, owner: Owner) -> bool {
        self.units.contains(&owner)
    }

    /// Number of answers owed to the follower machine.
    #[must_use]
    pub fn follower_units(&self) -> usize {
        self.units.iter().filter(|o| **o == Owner::Follower).count()
    }

    /// Whether the prepared statement `identity` is known here under `name`.
    #[must_use]
    pub fn knows(&self, name: &Bytes, identity: u64) -> bool {
        self.prepared.0.get(name) == Some(&identity)
    }

    /// Whether a prepared statement is known here under `name`, whatever its text.
    #[must_use]
    pub fn occupied(&self, name: &Bytes) -> bool {
        !name.is_empty() && self.prepared.0.contains_key(name)
    }

    /// Notes that `name` now stands for `identity` here (or may: an error in between must be followed by [`Link::forget`]).
    pub fn learn(&mut self, name: Bytes, identity: u64) {
        self.prepared.0.insert(name, identity);
    }

    /// Makes sure that this text stands here under `name`. What was written for that: Parse, and Close before it (their answers are due).
    pub fn prepare(&mut self, name: &Bytes, identity: u64, text: &[&[u8]], types: &[u8]) -> Written {
        if self.knows(name, identity) {
            return Written { parsed: false, closed: false };
        }
        let closed = self.occupied(name);
        if closed {
            encode::close(self.out(), b'S', name);
        }
        encode::parse(self.out(), name, text, types);
        self.learn(name.clone(), identity);
        Written { parsed: true, closed }
    }

    /// Marks what stands under `name` as unsure: it is closed before it is parsed again.
    pub fn forget(&mut self, name: &Bytes) {
        if name.is_empty() {
            self.prepared.0.remove(name);
        } else if let Some(identity) = self.prepared.0.get_mut(name) {
            *identity = 0;
        }
    }

    /// Frees a name, as a unit of its own. Close is no error where it stands for nothing, and in a failed transaction.
    pub fn close_name(&mut self, name: &Bytes) {
        if self.occupied(name) {
            encode::close(self.channel.out(), b'S', name);
            encode::bare(self.channel.out(), b'S');
            self.units.push_back(Owner::Discarded);
            self.prepared.0.remove(name);
        }
    }

    /// The same of all names.
    pub fn close_names(&mut self) {
        let names: Vec<Bytes> = self.prepared.0.drain().map(|(name, _)| name).filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return;
        }
        names.iter().for_each(|name| encode::close(self.channel.out(), b'S', name));
        encode::bare(self.channel.out(), b'S');
        self.units.push_back(Owner::Discarded);
    }

    /// Marks all names as unsure, as [`Link::forget`] does one.
    pub fn doubt(&mut self) {
        self.prepared.0.remove(&b""[..]);
        self.prepared.0.values_mut().for_each(|identity| *identity = 0);
    }

    /// Nothing is prepared here any more (DISCARD ALL, DEALLOCATE ALL).
    pub fn forget_all(&mut self) {
        self.prepared.0.clear();
    }

    /// Takes `name` off the list (it was closed).
    pub fn closed(&mut self, name: &Bytes) {
        self.prepared.0.remove(name);
    }

    /// Sends what is buffered.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        self.channel.poll_flush(cx)
    }

    /// Whether bytes wait to be sent.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.channel.has_output()
    }

    /// The next frame of the foreground unit. Background units before it must have been collected
    /// with [`Link::poll_background`].
    pub fn poll_foreground(&mut self, cx: &mut Context<'_>, piecewise: &[u8]) -> Poll<Result<FrameHead, WireError>> {
        debug_assert_eq!(self.units.front(), Some(&Owner::Foreground));
        self.channel.poll_frame(cx, piecewise)
    }

    /// Bytes of the frame at the front.
    #[must_use]
    pub fn peek(&self, head: FrameHead) -> &[u8] {
        self.channel.peek(head)
    }

    /// Drops the frame at the front; a ReadyForQuery ends the foreground unit.
    pub fn consume(&mut self, head: FrameHead) {
        if head.tag == b'Z' && !head.continued {
            self.units.pop_front();
        }
        if head.tag == b'A'
            && let Some(notifications) = &mut self.notifications
        {
            notifications.push_back(Bytes::copy_from_slice(self.channel.peek(head)));
        }
        self.channel.consume(head);
    }

    /// Reads on in the unit at the front until it has given so many command tags, or an error; its end is left to
    /// [`Link::poll_background`].
    pub fn poll_tags(&mut self, cx: &mut Context<'_>, count: usize) -> Poll<Result<&UnitOutcome, WireError>> {
        while self.units.front() == Some(&Owner::Discarded) {
            let _nobody_waits_for_it = ready!(self.poll_background(cx))?;
        }
        while self.partial.tags.len() < count && self.partial.error.is_none() {
            let head = ready!(self.channel.poll_frame(cx, b"Dd"))?;
            if head.tag == b'Z' {
                break;
            }
            self.note(head);
        }
        Poll::Ready(Ok(&self.partial))
    }

    /// Takes the frame at the front into account and drops it.
    fn note(&mut self, head: FrameHead) {
        let frame = self.channel.peek(head);
        match head.tag {
            _ if head.continued => {}
            b'C' => self.partial.tags.push(Bytes::copy_from_slice(decode::command_tag(frame))),
            b'S' if !self.units.is_empty() => self.partial.reports.extend_from_slice(frame),
            b'E' if self.partial.error.is_none() => {
                let message = decode::error_field(frame, b'M').unwrap_or(b"?");
                self.partial.error = Some((decode::sqlstate(frame), String::from_utf8_lossy(message).into_owned()));
                self.partial.error_frame = Some(Bytes::copy_from_slice(frame));
            }
            b'A' => {
                if let Some(notifications) = &mut self.notifications {
                    notifications.push_back(Bytes::copy_from_slice(frame));
                }
            }
            b'Z' => self.partial.status = frame.get(5).copied().unwrap_or(b'I'),
            _ => {}
        }
        self.channel.consume(head);
    }

    /// Reads on while units of the background are at the front; gives the outcome of the next that has ended.
    /// `Ready(Ok(None))`: the foreground, or nothing, is at the front. An idle link is watched for its end.
    pub fn poll_background(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<(Owner, UnitOutcome)>, WireError>> {
        loop {
            let owner = match self.units.front() {
                Some(Owner::Foreground) => return Poll::Ready(Ok(None)),
                Some(owner) => Some(*owner),
                None => None,
            };
            let head = ready!(self.channel.poll_frame(cx, b"Dd"))?;
            if head.tag == b'E' && !head.continued && owner.is_none() {
                // FATAL to an idle connection (57P01 …): the end follows.
                return Poll::Ready(Err(WireError::Closed));
            }
            let ended = head.tag == b'Z' && !head.continued;
            self.note(head);
            if ended && let Some(owner) = owner {
                self.units.pop_front();
                let outcome = std::mem::replace(&mut self.partial, UnitOutcome::plain());
                return Poll::Ready(Ok(Some((owner, outcome))));
            }
        }
    }

    /// Whether the unit at the front is the foreground's.
    #[must_use]
    pub fn foreground_next(&self) -> bool {
        self.units.front() == Some(&Owner::Foreground)
    }

    /// Cuts the connection, for a test.
    #[cfg(feature = "fault-points")]
    pub fn cut(&self) {
        self.channel.cut();
    }

    /// Says good-bye and closes.
    pub async fn close(mut self) {
        encode::bare(self.channel.out(), b'X');
        self.channel.close().await;
    }
}
