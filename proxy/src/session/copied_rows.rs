//! Rows of a COPY on their way into the recovery log: they pass through once, and a member that misses them gets them
//! from there.

use bytes::Bytes;
use raidb_core::log::{Position, RecordKind};
use tokio::task::JoinHandle;

use super::Session;
use super::trouble::SqlError;
use crate::recovery_log::LogError;

/// Bytes of rows that make a record.
const RECORD_BYTES: usize = 1 << 20;

/// CopyData frames, collected and written in records of [`RECORD_BYTES`]; one is on its way at a time.
#[derive(Debug, Default)]
pub(super) struct LoggedRows {
    buffer: Vec<u8>,
    writing: Option<JoinHandle<Result<Position, LogError>>>,
    records: Vec<Position>,
}

impl LoggedRows {
    /// One more frame. Waits for the record before the last one.
    pub(super) async fn add(&mut self, session: &mut Session, frame: &Bytes) -> Result<(), SqlError> {
        self.buffer.extend_from_slice(frame);
        if self.buffer.len() >= RECORD_BYTES { self.write(session).await } else { Ok(()) }
    }

    /// The rows have ended and are durable. Returns where they are.
    pub(super) async fn end(mut self, session: &mut Session) -> Result<Vec<Position>, SqlError> {
        if !self.buffer.is_empty() {
            self.write(session).await?;
        }
        self.written(session).await?;
        Ok(self.records)
    }

    async fn write(&mut self, session: &mut Session) -> Result<(), SqlError> {
        self.written(session).await?;
        // Before the first record is written: no truncation may come between.
        if let Some(open) = session.open.as_mut()
            && open.rows_held.is_none()
        {
            open.rows_held = Some(session.database.journal.hold_rows());
        }
        let (database, payload) = (session.database.clone(), std::mem::take(&mut self.buffer));
        self.writing = Some(tokio::spawn(async move { database.journal.note(RecordKind::CopyRows, payload).await }));
        Ok(())
    }

    async fn written(&mut self, session: &mut Session) -> Result<(), SqlError> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        match session.drive(writing).await {
            Ok(Ok(position)) => {
                self.records.push(position);
                Ok(())
            }
            Ok(Err(LogError::Full)) => Err(SqlError::new(
                "53100",
                "the disk of the recovery log is full",
                "Free space on the proxy's disk and run the COPY again.",
            )),
            Ok(Err(error)) => Err(SqlError::new("58030", error.to_string(), "See the proxy's log.")),
            Err(_) => Err(SqlError::new("57P01", "the proxy is shutting down", "Connect again.")),
        }
    }
}
