//! What the rest of the proxy knows of a session: enough to wake it, cancel it, end it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use raidb_core::ids::{MemberId, SessionId};

use crate::members::pg::cancel::CancelKey;

/// A session as others see it.
#[derive(Debug)]
pub struct SessionHandle {
    /// Its number; also the process id that the client is told.
    pub id: SessionId,
    /// The secret that the client is told.
    pub secret: u32,
    waker: AtomicWaker,
    running: Mutex<Running>,
    /// Process ids of its connections, for the last-resort cycle breaker.
    pids: Mutex<Vec<(MemberId, u32)>>,
    break_cycle: AtomicBool,
    told_aborted: AtomicBool,
    stopping: AtomicBool,
    cancels: AtomicUsize,
}

/// What runs in the foreground, for CancelRequest.
#[derive(Debug, Default)]
enum Running {
    #[default]
    Nothing,
    /// On this connection.
    Here(CancelKey),
    /// Perhaps on another session's connection, together with what others want: only this session can drop out.
    WithOthers {
        /// That was asked for.
        cancelled: bool,
    },
}

/// See [`SessionHandle::begin_cancel`].
#[derive(Debug)]
pub struct CancelGuard(Arc<SessionHandle>);

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.0.cancels.fetch_sub(1, Ordering::AcqRel);
        self.0.wake();
    }
}

/// See [`SessionHandle::cancellable`].
#[derive(Debug)]
pub struct Cancellable(Arc<SessionHandle>);

impl Drop for Cancellable {
    fn drop(&mut self) {
        self.0.set_running(None);
    }
}

impl SessionHandle {
    /// A new handle.
    #[must_use]
    pub fn new(id: SessionId, secret: u32) -> Arc<Self> {
        Arc::new(SessionHandle {
            id,
            secret,
            waker: AtomicWaker::new(),
            running: Mutex::default(),
            pids: Mutex::new(Vec::new()),
            break_cycle: AtomicBool::new(false),
            told_aborted: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            cancels: AtomicUsize::new(0),
        })
    }

    /// Has the session's task polled again.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Called by the session's task in every poll, before it looks at shared state.
    pub fn register(&self, cx: &std::task::Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Says what a CancelRequest should hit.
    pub fn set_running(&self, key: Option<CancelKey>) {
        *self.running.lock() = key.map_or(Running::Nothing, Running::Here);
    }

    /// The same, for as long as the guard lives.
    #[must_use]
    pub fn cancellable(self: &Arc<Self>, key: Option<CancelKey>) -> Cancellable {
        self.set_running(key);
        Cancellable(self.clone())
    }

    /// The statement is run together with those of others; it cannot be cancelled before it runs alone again.
    pub fn run_with_others(&self) {
        *self.running.lock() = Running::WithOthers { cancelled: false };
    }

    /// Whether that was cancelled.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        matches!(*self.running.lock(), Running::WithOthers { cancelled: true })
    }

    /// Nobody else runs the statement now. True: it was cancelled meanwhile.
    #[must_use]
    pub fn alone_again(&self) -> bool {
        let before = std::mem::take(&mut *self.running.lock());
        matches!(before, Running::WithOthers { cancelled: true })
    }

    /// What a CancelRequest should hit now. While the guard lives, the session sends no COMMIT: a cancel that arrives
    /// late must not hit that.
    #[must_use]
    pub fn begin_cancel(self: &Arc<Self>) -> Option<(CancelKey, CancelGuard)> {
        match &mut *self.running.lock() {
            Running::Nothing => None,
            Running::Here(key) => {
                self.cancels.fetch_add(1, Ordering::AcqRel);
                Some((key.clone(), CancelGuard(self.clone())))
            }
            Running::WithOthers { cancelled } => {
                *cancelled = true;
                self.wake();
                None
            }
        }
    }

    /// Cancel requests that are on their way.
    #[must_use]
    pub fn cancels(&self) -> usize {
        self.cancels.load(Ordering::Acquire)
    }

    /// A connection was opened.
    pub fn add_pid(&self, member: MemberId, pid: u32) {
        let mut pids = self.pids.lock();
        pids.retain(|(m, _)| *m != member);
        pids.push((member, pid));
    }

    /// Whether this session's connection to `member` has that process id.
    #[must_use]
    pub fn has_pid(&self, member: MemberId, pid: u32) -> bool {
        self.pids.lock().contains(&(member, pid))
    }

    /// Tells the session to abort its transaction with 40P01 (last-resort cycle breaker).
    pub fn break_cycle(&self) {
        self.break_cycle.store(true, Ordering::Release);
        self.wake();
    }

    /// Somebody was told that the transaction with this session's token is aborted: it has to give up its locks.
    pub fn tell_aborted(&self) {
        self.told_aborted.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether that was said; asks once.
    #[must_use]
    pub fn take_told_aborted(&self) -> bool {
        self.told_aborted.load(Ordering::Relaxed) && self.told_aborted.swap(false, Ordering::AcqRel)
    }

    /// The proxy shuts down: the session ends when it is idle.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether the proxy shuts down.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether it was told so; asks once.
    #[must_use]
    pub fn take_break(&self) -> bool {
        self.break_cycle.load(Ordering::Relaxed) && self.break_cycle.swap(false, Ordering::AcqRel)
    }
}

/// All sessions of one process. One number space, since a CancelRequest names no database.
#[derive(Debug, Default)]
pub struct SessionRegistry {
    sessions: DashMap<SessionId, Arc<SessionHandle>>,
    next: AtomicU64,
}

impl SessionRegistry {
    /// Admits a session.
    #[must_use]
    pub fn open(&self, secret: u32) -> Arc<SessionHandle> {
        let id = SessionId(self.next.fetch_add(1, Ordering::Relaxed) + 1);
        let handle = SessionHandle::new(id, secret);
        self.sessions.insert(id, handle.clone());
        handle
    }

    /// A session ended.
    pub fn close(&self, id: SessionId) {
        self.sessions.remove(&id);
    }

    /// Number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Finds the session that a CancelRequest names; the secret must fit.
    #[must_use]
    pub fn find(&self, pid: u32, secret: u32) -> Option<Arc<SessionHandle>> {
        let handle = self.sessions.get(&SessionId(u64::from(pid)))?.clone();
        (handle.secret == secret).then_some(handle)
    }

    /// The session of that number, if it lives.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<Arc<SessionHandle>> {
        self.sessions.get(&id).map(|found| found.clone())
    }

    /// The number of the newest session that ever was.
    #[must_use]
    pub fn newest(&self) -> SessionId {
        SessionId(self.next.load(Ordering::SeqCst))
    }

    /// The number of the oldest session that lives.
    #[must_use]
    pub fn oldest(&self) -> Option<SessionId> {
        self.sessions.iter().map(|e| *e.key()).min()
    }

    /// All handles.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<SessionHandle>> {
        self.sessions.iter().map(|e| e.value().clone()).collect()
    }

    /// Wakes every session.
    pub fn wake_all(&self) {
        for session in &self.sessions {
            session.wake();
        }
    }
}
