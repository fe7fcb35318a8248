//! Notifications: from the transaction that has sent them to the sessions that listen, in the order of commit.
//!
//! All sessions of a virtual database are sessions of this process, so no member has to carry a notification from one
//! to another: nothing is lost with a lead, and nothing comes twice. (What functions notify comes from the lead: see [`super::hearing`].) **Order**: a transaction takes its place before its
//! COMMIT leaves, so whoever follows it on a row has a later one; what is sent waits for all places before it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;

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
pub struct Notifications {
    inner: Mutex<Inner>,
    /// Another channel is listened to, or one less.
    changed: Notify,
    /// The lead is listened to as of a later version.
    heard: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    listeners: HashMap<String, Vec<Arc<Mailbox>>>,
    /// Commits by their places; `Some`: it has ended, and these are to be sent.
    places: BTreeMap<u64, Option<(u32, Vec<Notification>)>>,
    next: u64,
    /// Counts changes of the channels.
    version: u64,
    /// The version as of which the lead is listened to.
    heard: u64,
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
        self.all.inner.lock().places.insert(self.number, Some((pid, notifications)));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.all.inner.lock();
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
        let mut inner = self.inner.lock();
        let number = inner.next;
        inner.next += 1;
        inner.places.insert(number, None);
        Place { all: self.clone(), number }
    }

    /// From now on, what is sent to the channel goes into the mailbox.
    pub fn listen(&self, channel: &str, mailbox: &Arc<Mailbox>) {
        let mut inner = self.inner.lock();
        if !inner.listeners.contains_key(channel) {
            inner.version += 1;
            self.changed.notify_one();
        }
        let listeners = inner.listeners.entry(channel.to_owned()).or_default();
        if !listeners.iter().any(|other| Arc::ptr_eq(other, mailbox)) {
            listeners.push(mailbox.clone());
        }
    }

    /// No more. `None`: of no channel.
    pub fn unlisten(&self, channel: Option<&str>, mailbox: &Arc<Mailbox>) {
        let mut inner = self.inner.lock();
        let before = inner.listeners.len();
        inner.listeners.retain(|name, listeners| {
            if channel.is_none_or(|channel| channel == name) {
                listeners.retain(|other| !Arc::ptr_eq(other, mailbox));
            }
            !listeners.is_empty()
        });
        if inner.listeners.len() < before {
            inner.version += 1;
            self.changed.notify_one();
        }
        drop(inner);
        mailbox.forget(channel);
    }

    /// The channels that sessions listen to, and the version of that.
    #[must_use]
    pub fn wanted(&self) -> (u64, BTreeSet<String>) {
        let inner = self.inner.lock();
        (inner.version, inner.listeners.keys().cloned().collect())
    }

    /// Resolves when the channels have changed since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The lead is listened to as of this version.
    pub fn heard_up_to(&self, version: u64) {
        let mut inner = self.inner.lock();
        if inner.heard < version {
            inner.heard = version;
            self.heard.notify_waiters();
        }
    }

    /// Nobody listens to the lead at present.
    pub fn unheard(&self) {
        self.inner.lock().heard = 0;
    }

    /// Resolves when the lead is listened to as sessions listen now.
    pub async fn is_heard(&self) {
        let version = self.inner.lock().version;
        loop {
            let heard = self.heard.notified();
            tokio::pin!(heard);
            heard.as_mut().enable();
            if self.inner.lock().heard >= version {
                return;
            }
            heard.await;
        }
    }

    /// Something that was sent to these channels may be lost: who listens to one is told so.
    pub fn lost(&self, channels: &BTreeSet<String>) {
        let inner = self.inner.lock();
        for mailbox in channels.iter().filter_map(|channel| inner.listeners.get(channel)).flatten() {
            mailbox.lose(Lost::WithLead);
        }
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
    /// Something is in it, or is missing.
    filled: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Each with its channel.
    frames: VecDeque<(Arc<str>, Bytes)>,
    bytes: usize,
    /// Behind these something is missing.
    lost: Option<Lost>,
}

/// Why notifications did not come to a session that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// More came than it took: see [`MAILBOX_BYTES_MAX`].
    Overflown,
    /// The lead was lost, and with it perhaps what functions have notified.
    WithLead,
}

impl Mailbox {
    /// An empty one.
    #[must_use]
    pub fn new(handle: Arc<SessionHandle>) -> Arc<Self> {
        Arc::new(Mailbox { handle, filled: AtomicBool::new(false), waiting: Mutex::default() })
    }

    fn put(&self, channel: Arc<str>, frame: Bytes) {
        let mut waiting = self.waiting.lock();
        let bytes = waiting.bytes + frame.len() + OVERHEAD_BYTES;
        if bytes > MAILBOX_BYTES_MAX {
            waiting.lost.get_or_insert(Lost::Overflown);
        }
        if waiting.lost.is_none() {
            waiting.bytes = bytes;
            waiting.frames.push_back((channel, frame));
        }
        drop(waiting);
        self.filled.store(true, Ordering::Release);
        self.handle.wake();
    }

    /// Something is missing from here on.
    pub fn lose(&self, lost: Lost) {
        self.waiting.lock().lost.get_or_insert(lost);
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
        if channel.is_none() && waiting.lost == Some(Lost::WithLead) {
            waiting.lost = None;
        }
        waiting.bytes = waiting.frames.iter().map(|(_, frame)| frame.len() + OVERHEAD_BYTES).sum();
        self.filled.store(!waiting.frames.is_empty() || waiting.lost.is_some(), Ordering::Release);
    }

    /// Moves frames to `out` until that holds `bytes_max`.
    ///
    /// # Errors
    /// [`Lost`]: all that were kept are taken.
    pub fn take(&self, out: &mut BytesMut, bytes_max: usize) -> Result<(), Lost> {
        let mut waiting = self.waiting.lock();
        if let Some(lost) = waiting.lost.filter(|_| waiting.frames.is_empty()) {
            return Err(lost);
        }
        while out.len() < bytes_max
            && let Some((_, frame)) = waiting.frames.pop_front()
        {
            waiting.bytes -= frame.len() + OVERHEAD_BYTES;
            out.extend_from_slice(&frame);
        }
        self.filled.store(!waiting.frames.is_empty() || waiting.lost.is_some(), Ordering::Release);
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
    fn what_may_be_lost_is_told_behind_what_came() {
        let all = Arc::new(Notifications::default());
        let (listener, other) = (mailbox(), mailbox());
        all.listen("c", &listener);
        all.listen("d", &other);
        assert_eq!(all.wanted(), (2, ["c", "d"].map(str::to_owned).into()));
        all.place().send(1, note("came"));
        all.lost(&["c".to_owned()].into());
        all.place().send(1, note("behind it"));
        assert_eq!(taken(&listener), ["came"]);
        assert_eq!(listener.take(&mut BytesMut::new(), usize::MAX), Err(Lost::WithLead));
        assert!(!other.is_filled());
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
        assert_eq!(slow.take(&mut BytesMut::new(), usize::MAX), Err(Lost::Overflown));
    }
}
