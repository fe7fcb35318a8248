//! Long bodies: written and read in pieces of [`CHUNK`] bytes, so that neither side ever holds all of one.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::append_once::{Write, in_transaction};
use crate::connection::Link;
use crate::error::{Cause, Error};
use crate::message::{BODY_MAX, Body, CHUNK, Draft, INLINE_MAX, Message, MessageId};
use crate::place;
use crate::rows::NewRow;
use crate::session::Session;
use crate::unit::{Prepared, Unit};

const INSERT_CHUNK: &str = "INSERT INTO store_chunk (message, number, data) VALUES ($1, $2, $3)";
const READ_CHUNK: &str = "SELECT data FROM store_chunk WHERE message = $1 AND number = $2";
const DELETE_CHUNK: &str = "DELETE FROM store_chunk WHERE message = $1 AND number = $2";

impl Session {
    /// Appends a message whose body is read from `source` to its end: message and body in one transaction, and not more than
    /// [`CHUNK`] bytes in memory. The draft's own body is not used. The source has to give each piece within 20 seconds, which is
    /// how long the transaction may stand idle.
    ///
    /// # Errors
    /// As [`Session::append`]; the source fails, or has more than [`BODY_MAX`] bytes. The source cannot be read twice: when the
    /// connection is lost and the write was not carried out, the error [is retryable](Error::is_retryable), with a source from its beginning.
    ///
    /// # Cancel safety
    /// As for every write: see [`Session`].
    pub async fn append_stream<R>(&mut self, queue: &str, draft: Draft, source: R) -> Result<MessageId, Error>
    where
        R: AsyncRead + Unpin + Send,
    {
        let ids = self.commit_with_body(Unit::new(), queue, draft, source).await?;
        ids.last().copied().ok_or_else(|| Error::schema("no id was given to the message"))
    }

    /// Commits a unit of work and, in the same transaction, appends a message with a streamed body. Returns the ids of the unit's
    /// messages, then that of the streamed one.
    ///
    /// # Errors
    /// As [`Session::append_stream`] and [`Session::commit`].
    ///
    /// # Cancel safety
    /// As for every write: see [`Session`].
    pub async fn commit_with_body<R>(
        &mut self,
        unit: Unit,
        queue: &str,
        draft: Draft,
        source: R,
    ) -> Result<Vec<MessageId>, Error>
    where
        R: AsyncRead + Unpin + Send,
    {
        let destination = place::queue(queue)?;
        let id = self.reserve(1).await?;
        let prepared = Prepared::new(self, unit).await?;
        let mut ids = prepared.ids();
        ids.push(MessageId(id));
        let (row, _) = NewRow::new(destination, id, Draft { body: Vec::new(), ..draft });
        let mut work = Streamed { prepared, row, source, begun: false };
        self.write_once(&mut work).await?;
        Ok(ids)
    }

    /// Writes a message's body to `sink`, in order, with at most [`CHUNK`] bytes in memory. Returns its bytes.
    ///
    /// The body is there as long as the message: its consumer reads before it acknowledges.
    ///
    /// # Errors
    /// The message was removed meanwhile; the endpoint cannot be read from; the sink fails.
    ///
    /// # Cancel safety
    /// The sink may have got a part. Read it again.
    pub async fn read_body<W: AsyncWrite + Unpin + Send>(
        &mut self,
        message: &Message,
        mut sink: W,
    ) -> Result<u64, Error> {
        let sink_failed = |error| Error::new(Cause::Source(error));
        match &message.body {
            Body::Inline(bytes) => sink.write_all(bytes).await.map_err(sink_failed)?,
            Body::Chunks(count) => {
                for number in 0..*count {
                    let chunk = self.read_chunk(message.id, number).await?;
                    sink.write_all(&chunk).await.map_err(sink_failed)?;
                }
            }
        }
        sink.flush().await.map_err(sink_failed)?;
        Ok(message.size)
    }

    /// One piece of a long body: `number` from 0 to below the count in [`Body::Chunks`]. [`CHUNK`] bytes, the last one fewer.
    ///
    /// # Errors
    /// The message was removed meanwhile; the endpoint cannot be read from.
    ///
    /// # Cancel safety
    /// Nothing remains of a dropped one.
    pub async fn read_chunk(&mut self, message: MessageId, number: i32) -> Result<Vec<u8>, Error> {
        let rows = self.read(READ_CHUNK, &[&message.0, &number]).await?;
        let row = rows.first();
        row.map(|row| row.get(0))
            .ok_or_else(|| Error::not_held(format!("piece {number} of message {message} is gone: it was removed")))
    }
}

/// A transaction with a body that can be read once.
struct Streamed<R> {
    prepared: Prepared,
    row: NewRow,
    source: R,
    begun: bool,
}

impl<R: AsyncRead + Unpin + Send> Write for Streamed<R> {
    type Done = ();

    async fn attempt(&mut self, link: &Link, receipt: i64) -> Result<(), Error> {
        in_transaction(link, receipt, async {
            self.begun = true;
            write_stream(link, &mut self.row, &mut self.source).await?;
            self.prepared.run(link, std::slice::from_ref(&self.row)).await
        })
        .await
    }

    fn committed(&mut self) {}

    fn can_repeat(&self) -> bool {
        !self.begun
    }
}

/// Writes all pieces and completes the row.
async fn write_stream<R: AsyncRead + Unpin>(link: &Link, row: &mut NewRow, source: &mut R) -> Result<(), Error> {
    let (mut size, mut number) = (0_u64, 0_i32);
    loop {
        let piece = next_piece(source).await.map_err(|error| Error::new(Cause::Source(error)))?;
        size += piece.len() as u64;
        if size > BODY_MAX {
            return Err(Error::input(format!(
                "the body has more than {BODY_MAX} bytes, which is the most that is allowed"
            )));
        }
        if number == 0 && piece.len() <= INLINE_MAX {
            row.body = Some(piece);
            break;
        }
        let last = piece.len() < CHUNK;
        if !piece.is_empty() {
            link.execute(INSERT_CHUNK, &[&row.id, &number, &piece]).await?;
            number += 1;
        }
        if last {
            row.body = None;
            break;
        }
    }
    row.chunks = number;
    row.size = i64::try_from(size).unwrap_or(i64::MAX);
    Ok(())
}

/// A full piece, or what is left.
async fn next_piece<R: AsyncRead + Unpin>(source: &mut R) -> std::io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(CHUNK);
    source.take(CHUNK as u64).read_to_end(&mut piece).await?;
    Ok(piece)
}

/// Writes a long body that is in memory.
pub(crate) async fn write_long(link: &Link, id: i64, body: &[u8]) -> Result<(), Error> {
    for (number, piece) in (0_i32..).zip(body.chunks(CHUNK)) {
        link.execute(INSERT_CHUNK, &[&id, &number, &piece]).await?;
    }
    Ok(())
}

/// Pieces of a body of so many bytes.
pub(crate) fn pieces(body: &[u8]) -> i32 {
    i32::try_from(body.len().div_ceil(CHUNK)).unwrap_or(i32::MAX)
}

/// Deletes the pieces of a message's body.
pub(crate) async fn delete(link: &Link, message: i64, chunks: i32) -> Result<(), Error> {
    let numbers: Vec<i32> = (0..chunks).collect();
    let sets: Vec<_> = numbers.iter().map(|number| vec![&message as _, number as _]).collect();
    link.execute_each(DELETE_CHUNK, &sets).await.map(drop)
}
