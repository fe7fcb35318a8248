//! The log in files of its own: the handle that everybody shares.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use futures::FutureExt;
use futures::future::BoxFuture;
use raidb_core::log::{Membership, Position, Record, RecordKind};
use tokio::sync::{mpsc, oneshot};

use super::disk::{Disk, RealDisk};
use super::open::{OpenedFiles, open};
use super::segments::Segments;
use super::writer::{Append, Request};
use super::{Extent, LogError, RecoveryLog};

/// Appends that wait for the thread. At the limit: `append` waits.
const APPENDS_QUEUED_MAX: usize = 1024;

/// Length at which a segment takes no further batch, in bytes.
pub(super) const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// The recovery log of one virtual database in a directory of its own.
pub struct FileLog {
    /// `None` only while it is dropped.
    requests: Option<mpsc::Sender<Request>>,
    segments: Arc<Segments>,
    thread: Option<JoinHandle<()>>,
}

/// What opening a log gives.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: FileLog,
    /// What it says about members.
    pub membership: Membership,
    /// Bytes of a torn tail that were cut off; 0 after an orderly stop.
    pub torn_bytes: usize,
}

impl FileLog {
    /// Opens the log in `dir` (see [`super::directory_of`]), or begins one. Blocks: it reads all records.
    ///
    /// # Errors
    /// [`LogError::Locked`], [`LogError::Corrupt`] or [`LogError::Io`].
    pub fn open(dir: &Path, virtual_database: &str) -> Result<Opened, LogError> {
        Self::open_on(dir, virtual_database, SEGMENT_BYTES_MAX, Box::new(RealDisk))
    }

    /// Opens the log with segments of another length, on a disk that a test may make fail.
    pub(crate) fn open_on(
        dir: &Path,
        virtual_database: &str,
        segment_bytes_max: u64,
        disk: Box<dyn Disk>,
    ) -> Result<Opened, LogError> {
        let OpenedFiles { writer, segments, membership, torn_bytes } =
            open(dir, virtual_database, segment_bytes_max, disk)?;
        let (requests, queue) = mpsc::channel(APPENDS_QUEUED_MAX);
        let thread = thread::Builder::new().name(String::from("raidb-log"));
        let thread = thread.spawn(move || writer.run(queue)).map_err(LogError::io("start its thread"))?;
        let log = Self { requests: Some(requests), segments, thread: Some(thread) };
        Ok(Opened { log, membership, torn_bytes })
    }

    /// Hands a request to the thread and waits for its answer.
    async fn ask<T>(&self, request: Request, answer: oneshot::Receiver<Result<T, LogError>>) -> Result<T, LogError> {
        let requests = self.requests.as_ref().ok_or(LogError::Closed)?;
        requests.send(request).await.map_err(|_| LogError::Closed)?;
        answer.await.map_err(|_| LogError::Closed)?
    }
}

impl RecoveryLog for FileLog {
    fn append(&self, kind: RecordKind, payload: Vec<u8>) -> BoxFuture<'_, Result<Position, LogError>> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Append(Append { kind, payload, reply }), answer).boxed()
    }

    fn read(&self, from: Position, bytes_max: usize) -> BoxFuture<'_, Result<Vec<Record>, LogError>> {
        let segments = Arc::clone(&self.segments);
        let read = tokio::task::spawn_blocking(move || segments.read(from, bytes_max));
        async move { read.await.map_err(|_| LogError::Closed)? }.boxed()
    }

    fn truncate(&self, before: Position) -> BoxFuture<'_, Result<Option<Position>, LogError>> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Truncate { before, reply }, answer).boxed()
    }

    fn begin_behind(&self, last: Position) -> BoxFuture<'_, Result<(), LogError>> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::BeginBehind { last, reply }, answer).boxed()
    }

    fn extent(&self, before: Position) -> Extent {
        self.segments.extent(before)
    }

    fn end(&self) -> Position {
        self.segments.end()
    }
}

/// Waits until what is queued is written and the directory is free again.
impl Drop for FileLog {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl fmt::Debug for FileLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileLog").field("dir", &self.segments.dir()).field("end", &self.end()).finish()
    }
}
