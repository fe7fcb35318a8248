//! Notifications: from the transaction that has sent them to the sessions that listen, in the order of commit.
//!
//! All sessions of a virtual database are sessions of this process, so no member has to carry a notification from one
//! to another: nothing is lost with a lead, and nothing comes twice. **Order**: a transaction takes its place before its
//! COMMIT leaves, so whoever follows it on a row has a later one; what is sent waits for all places before it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::handles::SessionHandle;
use crate::wire::encode;

/// Notifications that wait for one session may take so many bytes. Who does not take them gets those up to there, and is then told
/// that there were more: the session ends (53400). It holds up nobody.
pub const MAILBOX_BYTES_MAX: usize = 16 << 20;
/// What one costs beside its own bytes.
const OVERHEAD_BYTES: usize = 64;

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notification {
    /// Channel.
    pub channel: String,
    /// Payload.
    pub payload: String,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Notifications(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    listeners: HashMap<String, Vec<Arc<Mailbox>>>,
    /// Commits by their places; `Some`: it has ended, and these are to be sent.
    places: BTreeMap<u64, Option<(u32, Vec<Notification>)>>,
    next: u64,
}

/// A commit's place among the others. Dropped: it did not take effect, and sends nothing.
#[derive(Debug)]
pub struct Place {
    all: Arc<Notifications>,
    number: u64,
}

impl Place {
    /// The transaction has committed: its notifications are sent when all places before it have ended. `pid`: as which
    /// process its client knows itself.
    pub fn send(self, pid: u32, notifications: Vec<Notification>) {
        self.all.0.lock().places.insert(self.number, Some((pid, notifications)));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.all.0.lock();
        if let Some(open @ None) = inner.places.get_mut(&self.number) {
            *open = Some((0, Vec::new()));
        }
        inner.deliver();
    }
}

impl Notifications {
    /// The next place.
    #[must_use]
    pub fn place(self: &Arc<Self>) -> Place {
        let mut inner = self.0.lock();
        let number = inner.next;
        inner.next += 1;
        inner.places.insert(number, None);
        Place { all: self.clone(), number }
    }

    /// From now on, what is sent to the channel goes into the mailbox.
    pub fn listen(&self, channel: &str, mailbox: &Arc<Mailbox>) {
        let mut inner = self.0.lock();
        let listeners = inner.listeners.entry(channel.to_owned()).or_default();
        if !listeners.iter().any(|other| Arc::ptr_eq(other, mailbox)) {
            listeners.push(mailbox.clone());
        }
    }

    /// No more. `None`: of no channel.
    pub fn unlisten(&self, channel: Option<&str>, mailbox: &Arc<Mailbox>) {
        self.0.lock().listeners.retain(|name, listeners| {
            if channel.is_none_or(|channel| channel == name) {
                listeners.retain(|other| !Arc::ptr_eq(other, mailbox));
            }
            !listeners.is_empty()
        });
        mailbox.forget(channel);
    }
}

impl Inner {
    fn deliver(&mut self) {
        while let Some(first) = self.places.first_entry() {
            let Some((pid, notifications)) = first.get() else { return };
            for Notification { channel, payload } in notifications {
                let Some(listeners) = self.listeners.get(channel) else { continue };
                let mut frame = BytesMut::new();
                encode::notification(&mut frame, *pid, channel, payload);
                let (frame, channel) = (frame.freeze(), Arc::<str>::from(&**channel));
                listeners.iter().for_each(|mailbox| mailbox.put(channel.clone(), frame.clone()));
            }
            first.remove();
        }
    }
}

/// Notifications that wait for a session, as frames.
#[derive(Debug)]
pub struct Mailbox {
    handle: Arc<SessionHandle>,
    /// Something is in it, or it has overflown.
    filled: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Each with its channel.
    frames: VecDeque<(Arc<str>, Bytes)>,
    bytes: usize,
    overflown: bool,
}

/// More came for a session than it took: see [`MAILBOX_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflown;

impl Mailbox {
    /// An empty one.
    #[must_use]
    pub fn new(handle: Arc<SessionHandle>) -> Arc<Self> {
        Arc::new(Mailbox { handle, filled: AtomicBool::new(false), waiting: Mutex::default() })
    }

    fn put(&self, channel: Arc<str>, frame: Bytes) {
        let mut waiting = self.waiting.lock();
        let bytes = waiting.bytes + frame.len() + OVERHEAD_BYTES;
        waiting.overflown |= bytes > MAILBOX_BYTES_MAX;
        if !waiting.overflown {
            waiting.bytes = bytes;
            waiting.frames.push_back((channel, frame));
        }
        drop(waiting);
        self.filled.store(true, Ordering::Release);
        self.handle.wake();
    }

    /// Whether there is anything to take, cheaply.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// Throws away what waits for a channel that is not listened to any more (`None`: any). What was lost stays lost.
    fn forget(&self, channel: Option<&str>) {
        let mut waiting = self.waiting.lock();
        waiting.frames.retain(|(of, _)| channel.is_some_and(|channel| channel != &**of));
        waiting.bytes = waiting.frames.iter().map(|(_, frame)| frame.len() + OVERHEAD_BYTES).sum();
        self.filled.store(!waiting.frames.is_empty() || waiting.overflown, Ordering::Release);
    }

    /// Moves frames to `out` until that holds `bytes_max`.
    ///
    /// # Errors
    /// [`Overflown`]: all that were kept are taken.
    pub fn take(&self, out: &mut BytesMut, bytes_max: usize) -> Result<(), Overflown> {
        let mut waiting = self.waiting.lock();
        if waiting.overflown && waiting.frames.is_empty() {
            return Err(Overflown);
        }
        while out.len() < bytes_max
            && let Some((_, frame)) = waiting.frames.pop_front()
        {
            waiting.bytes -= frame.len() + OVERHEAD_BYTES;
            out.extend_from_slice(&frame);
        }
        self.filled.store(!waiting.frames.is_empty() || waiting.overflown, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use raidb_core::ids::SessionId;

    use super::*;

    fn mailbox() -> Arc<Mailbox> {
        Mailbox::new(SessionHandle::new(SessionId(1), 0))
    }

    fn note(payload: &str) -> Vec<Notification> {
        vec![Notification { channel: "c".into(), payload: payload.into() }]
    }

    /// Payloads, in order.
    fn taken(mailbox: &Mailbox) -> Vec<String> {
        let mut out = BytesMut::new();
        mailbox.take(&mut out, usize::MAX).unwrap();
        let mut payloads = Vec::new();
        let mut rest = &out[..];
        while rest.len() > 5 {
            let end = 1 + u32::from_be_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize;
            let texts: Vec<&[u8]> = rest[9..end].split(|b| *b == 0).collect();
            payloads.push(String::from_utf8_lossy(texts[1]).into_owned());
            rest = &rest[end..];
        }
        payloads
    }

    #[test]
    fn places_keep_the_order_of_commits() {
        let all = Arc::new(Notifications::default());
        let listener = mailbox();
        all.listen("c", &listener);
        all.listen("c", &listener);
        let (first, second, third) = (all.place(), all.place(), all.place());
        third.send(3, note("third"));
        assert!(!listener.is_filled());
        first.send(1, note("first"));
        assert_eq!(taken(&listener), ["first"]);
        drop(second);
        assert_eq!(taken(&listener), ["third"]);
        assert!(!listener.is_filled());
        all.place().send(4, note("not taken"));
        all.unlisten(Some("d"), &listener);
        assert!(listener.is_filled());
        all.unlisten(Some("c"), &listener);
        all.place().send(4, note("fourth"));
        assert!(!listener.is_filled());
    }

    #[test]
    fn who_does_not_read_loses_the_session_and_holds_up_nobody() {
        let all = Arc::new(Notifications::default());
        let (slow, quick) = (mailbox(), mailbox());
        all.listen("c", &slow);
        all.listen("c", &quick);
        let payload = "x".repeat(1 << 20);
        for _ in 0..20 {
            all.place().send(1, note(&payload));
            assert_eq!(taken(&quick).len(), 1);
        }
        // What was kept comes first.
        assert_eq!(taken(&slow).len(), 15);
        assert!(slow.is_filled());
        assert_eq!(slow.take(&mut BytesMut::new(), usize::MAX), Err(Overflown));
    }
}
