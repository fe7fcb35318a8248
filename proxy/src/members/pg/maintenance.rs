//! The proxy's own queries on a member: heartbeat, catalog, sequences. Never the data of a client.

use std::task::Poll;
use std::time::Duration;

use super::connect::{self, ConnectError};
use super::link::{Link, Owner};
use super::target::{Login, StartupParameters, Target};
use crate::wire::{FrameLimit, WireError, decode};

/// Rows of one query, as text.
pub type TextRows = Vec<Vec<Option<String>>>;

/// Why a maintenance query failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Could not connect.
    #[error("cannot connect: {0}")]
    Connect(#[from] ConnectError),
    /// The connection is gone.
    #[error("connection lost: {0}")]
    Wire(#[from] WireError),
    /// The member answered with an error.
    #[error("{}: {message}", String::from_utf8_lossy(sqlstate))]
    Server {
        /// SQLSTATE.
        sqlstate: [u8; 5],
        /// Message.
        message: String,
    },
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

/// Largest answer of a maintenance query.
const MAINTENANCE_FRAME_MAX: FrameLimit = FrameLimit { bytes_max: 16 * 1024 * 1024 };

/// A connection of the proxy's own.
#[derive(Debug)]
pub struct Maintenance {
    link: Link,
}

impl Maintenance {
    /// Connects.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(target: &Target, login: &Login, within: Duration) -> Result<Self, ConnectError> {
        let parameters: StartupParameters = vec![
            (bytes::Bytes::from_static(b"application_name"), bytes::Bytes::from_static(b"raidb maintenance")),
            (bytes::Bytes::from_static(b"client_encoding"), bytes::Bytes::from_static(b"UTF8")),
            (
                bytes::Bytes::from_static(b"options"),
                bytes::Bytes::from_static(b"-c statement_timeout=0 -c lock_timeout=0"),
            ),
        ];
        let (link, _) = connect::connect(target, login, &parameters, MAINTENANCE_FRAME_MAX, within).await?;
        Ok(Maintenance { link })
    }

    /// Runs simple queries; one list of rows for each statement in them.
    ///
    /// # Errors
    /// The first error; the connection may be used again after [`QueryError::Server`] only.
    ///
    /// # Cancel safety
    /// Not cancel safe: drop the connection when a call was dropped.
    pub async fn query(&mut self, sql: &[&str], within: Duration) -> Result<Vec<TextRows>, QueryError> {
        let work = async {
            let mut results = Vec::with_capacity(sql.len());
            for text in sql {
                self.link.simple(&[text.as_bytes()], Owner::Foreground);
                results.extend(collect_text_rows(&mut self.link).await?);
            }
            Ok(results)
        };
        tokio::time::timeout(within, work).await.unwrap_or(Err(QueryError::TimedOut(within)))
    }
}

impl Maintenance {
    /// From now on notifications are kept for [`Maintenance::notification`].
    pub fn keep_notifications(&mut self) {
        let _none_yet = self.link.take_notification();
    }

    /// Waits for the next notification of a channel that it LISTENs to: process, channel, payload.
    ///
    /// # Errors
    /// The connection is gone.
    ///
    /// # Cancel safety
    /// Cancel safe: what has come stays for the next call.
    pub async fn notification(&mut self) -> Result<(u32, String, String), QueryError> {
        let link = &mut self.link;
        let frame = std::future::poll_fn(|cx| {
            // What has come first: no more is read from the member before that is taken.
            if let Some(frame) = link.take_notification() {
                return Poll::Ready(Ok(frame));
            }
            let ended = link.poll_background(cx);
            match (link.take_notification(), ended) {
                (Some(frame), _) => Poll::Ready(Ok(frame)),
                (None, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
                (None, Poll::Ready(Ok(_)) | Poll::Pending) => Poll::Pending,
            }
        });
        let frame = frame.await?;
        let pid = frame.get(5..9).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes).unwrap_or_default();
        let mut texts = frame.get(9..).unwrap_or_default().split(|b| *b == 0);
        let mut text = || String::from_utf8_lossy(texts.next().unwrap_or_default()).into_owned();
        Ok((pid, text(), text()))
    }
}

/// Flushes and reads the foreground unit at the front to its end: the rows of each of its statements, as text.
///
/// # Errors
/// The unit's error, behind its ReadyForQuery.
async fn collect_text_rows(link: &mut Link) -> Result<Vec<TextRows>, QueryError> {
    let mut results = Vec::new();
    let mut rows = TextRows::new();
    let mut failed = None;
    std::future::poll_fn(|cx| link.poll_flush(cx)).await?;
    loop {
        let head = std::future::poll_fn(|cx| link.poll_foreground(cx, &[])).await?;
        let frame = link.peek(head);
        match head.tag {
            b'D' => rows.push(decode::text_row(frame)),
            b'C' => results.push(std::mem::take(&mut rows)),
            b'E' if failed.is_none() => {
                let message = decode::error_field(frame, b'M').unwrap_or(b"?");
                failed = Some(QueryError::Server {
                    sqlstate: decode::sqlstate(frame),
                    message: String::from_utf8_lossy(message).into_owned(),
                });
            }
            _ => {}
        }
        link.consume(head);
        if head.tag == b'Z' {
            return failed.map_or(Ok(results), Err);
        }
    }
}
