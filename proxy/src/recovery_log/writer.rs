//! The log's thread: collects what is queued, writes it, flushes once, answers all.

use std::fs::File;
use std::io;
use std::sync::Arc;

use raidb_core::log::{Checkpoint, Membership, Position, Record, RecordKind, encode_record};
use tokio::sync::{mpsc, oneshot};

use super::LogError;
use super::directory::segment_path;
use super::disk::{Disk, SegmentFile};
use super::segments::{SegmentInfo, Segments};

/// Most records of one flush.
const BATCH_RECORDS_MAX: usize = 512;

/// Payload bytes after which a batch takes no further record.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// What is asked of the thread.
pub(super) enum Request {
    /// Append a record.
    Append(Append),
    /// Forget records before a position.
    Truncate { before: Position, reply: oneshot::Sender<Result<Option<Position>, LogError>> },
    /// Let the positions of an empty log begin behind this one.
    BeginBehind { last: Position, reply: oneshot::Sender<Result<(), LogError>> },
}

/// A record to append, and who waits for it.
pub(super) struct Append {
    pub(super) kind: RecordKind,
    pub(super) payload: Vec<u8>,
    pub(super) reply: oneshot::Sender<Result<Position, LogError>>,
}

/// What the thread owns.
pub(super) struct Writer {
    pub(super) disk: Box<dyn Disk>,
    /// The last segment.
    pub(super) file: Box<dyn SegmentFile>,
    /// Its length; everything up to here is durable.
    pub(super) file_bytes: u64,
    /// Length at which a segment takes no further batch.
    pub(super) segment_bytes_max: u64,
    pub(super) segments: Arc<Segments>,
    pub(super) membership: Membership,
    /// What failed, if something did.
    pub(super) poisoned: Option<String>,
    /// Held as long as the thread lives.
    pub(super) _lock: File,
}

impl Writer {
    /// Serves requests until all senders are gone.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut next = None;
        while let Some(request) = next.take().or_else(|| requests.blocking_recv()) {
            match request {
                Request::Append(first) => {
                    let mut batch = vec![first];
                    next = collect(&mut batch, &mut requests);
                    self.append(batch);
                }
                // A caller that is gone needs no answer, here and below.
                Request::Truncate { before, reply } => drop(reply.send(self.truncate(before))),
                Request::BeginBehind { last, reply } => drop(reply.send(self.begin_behind(last))),
            }
        }
        self.shrink();
    }

    /// Takes back what the file has grown in advance; if that fails, readers take it for the end.
    fn shrink(&mut self) {
        if self.poisoned.is_some() {
            return;
        }
        if let Err(error) = self.file.cut(self.file_bytes) {
            tracing::debug!(dir = %self.segments.dir().display(), "a segment keeps its growth: {error}");
        }
    }

    /// Writes and flushes a batch and answers each of its callers.
    fn append(&mut self, batch: Vec<Append>) {
        let first = self.segments.end().next();
        let mut bytes = Vec::new();
        let mut written: Vec<(Append, Position)> = Vec::with_capacity(batch.len());
        for append in batch {
            let position = written.last().map_or(first, |(_, last)| last.next());
            match encode_record(&mut bytes, position, first, append.kind, &append.payload) {
                Ok(()) => written.push((append, position)),
                Err(too_large) => drop(append.reply.send(Err(too_large.into()))),
            }
        }
        let Some(end) = written.last().map(|(_, position)| *position) else {
            return;
        };
        let result = self.write(&bytes, end);
        for (append, position) in written {
            let answer = match &result {
                Ok(()) => {
                    self.fold(Record { position, kind: append.kind, payload: append.payload });
                    Ok(position)
                }
                Err(Failure::Full) => Err(LogError::Full),
                Err(Failure::Poisoned(why)) => Err(LogError::Poisoned(why.clone())),
            };
            drop(append.reply.send(answer));
        }
    }

    fn fold(&mut self, record: Record) {
        if let Err(kind) = self.membership.apply(&record) {
            tracing::error!(position = record.position.0, %kind, "a member change that cannot be read was logged");
        }
    }

    /// Makes `bytes`, whose last record is `end`, durable.
    fn write(&mut self, bytes: &[u8], end: Position) -> Result<(), Failure> {
        if let Some(why) = &self.poisoned {
            return Err(Failure::Poisoned(why.clone()));
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let empty = self.file_bytes == u64::try_from(raidb_core::log::SegmentHeader::BYTES).unwrap_or(0);
        if !empty && self.file_bytes.saturating_add(length) > self.segment_bytes_max {
            self.begin_segment()?;
        }
        if let Err(error) = self.file.append(bytes) {
            // Part of it may be there: away with it, else the next batch would follow damage.
            let cut = self.file.cut(self.file_bytes);
            return Err(match cut {
                Ok(()) if is_full(&error) => Failure::Full,
                _ => self.poison("write", &error),
            });
        }
        if let Err(error) = self.file.flush() {
            return Err(self.poison("flush", &error));
        }
        self.file_bytes += length;
        self.segments.flushed(self.file_bytes, end);
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<(), Failure> {
        self.shrink();
        let first = self.segments.end().next();
        let path = segment_path(self.segments.dir(), first);
        let header = self.segments.header(first);
        match self.disk.create(&path, &header) {
            Ok(file) => {
                self.file = file;
                self.file_bytes = u64::try_from(header.len()).unwrap_or(0);
                self.segments.push(SegmentInfo { first, path, bytes: self.file_bytes });
                Ok(())
            }
            Err(error) if is_full(&error) => Err(Failure::Full),
            Err(error) => Err(self.poison("begin a segment", &error)),
        }
    }

    fn poison(&mut self, what: &str, error: &io::Error) -> Failure {
        let why = format!("cannot {what}: {error}");
        tracing::error!(dir = %self.segments.dir().display(), "recovery log stopped: {why}");
        self.poisoned = Some(why.clone());
        Failure::Poisoned(why)
    }

    /// Removes whole segments, oldest first, so that what a crash leaves has no hole.
    fn truncate(&mut self, before: Position) -> Result<Option<Position>, LogError> {
        let removable = self.segments.removable(before);
        if removable.is_empty() {
            return Ok(None);
        }
        let position = self.segments.end().next();
        let payload = Checkpoint::of(&self.membership).encode();
        let mut bytes = Vec::new();
        encode_record(&mut bytes, position, position, RecordKind::Checkpoint, &payload)?;
        self.write(&bytes, position).map_err(|failure| match failure {
            Failure::Full => LogError::Full,
            Failure::Poisoned(why) => LogError::Poisoned(why),
        })?;
        for segment in removable {
            if let Err(error) = self.disk.remove(&segment.path) {
                // The checkpoint stands; what could not be removed is removed next time.
                tracing::warn!(segment = %segment.path.display(), "cannot remove a segment of the log: {error}");
                break;
            }
            self.segments.pop_oldest();
        }
        Ok(Some(position))
    }

    /// Replaces the empty first segment by one that begins behind `last`.
    fn begin_behind(&mut self, last: Position) -> Result<(), LogError> {
        let empty = self.file_bytes == u64::try_from(raidb_core::log::SegmentHeader::BYTES).unwrap_or(0);
        let old = self.segments.only().filter(|_| empty);
        let Some(old) = old else {
            return Err(LogError::Poisoned("the log has records; its positions cannot be moved".into()));
        };
        if self.segments.end() >= last {
            return Ok(());
        }
        let end = self.segments.end();
        self.segments.flushed(self.file_bytes, last);
        self.begin_segment().map_err(|failure| {
            // As it was: the next attempt begins the segment, and does not take it for begun.
            self.segments.flushed(self.file_bytes, end);
            match failure {
                Failure::Full => LogError::Full,
                Failure::Poisoned(why) => LogError::Poisoned(why),
            }
        })?;
        let failed = LogError::io(format!("remove {}", old.path.display()));
        self.disk.remove(&old.path).map_err(failed)?;
        self.segments.pop_oldest();
        Ok(())
    }
}

/// Why a batch is not durable.
enum Failure {
    /// The disk is full; the log is as it was.
    Full,
    /// The log takes nothing more.
    Poisoned(String),
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Adds to the batch what is already queued, up to its limits. Returns a request that ends the batch.
fn collect(batch: &mut Vec<Append>, requests: &mut mpsc::Receiver<Request>) -> Option<Request> {
    let mut bytes = batch.iter().map(|append| append.payload.len()).sum::<usize>();
    while batch.len() < BATCH_RECORDS_MAX && bytes < BATCH_BYTES_MAX {
        match requests.try_recv() {
            Ok(Request::Append(append)) => {
                bytes += append.payload.len();
                batch.push(append);
            }
            Ok(other) => return Some(other),
            Err(_) => return None,
        }
    }
    None
}
