//! A buffered, frame-wise view of a byte stream; polled, so that one task can drive many of them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::stream::Stream;

/// Bytes asked from the operating system in one read.
const READ_CHUNK: usize = 16 * 1024;
/// Upper bound of one read: large rows come in larger pieces.
const READ_CHUNK_MAX: usize = 256 * 1024;
/// A frame of a relayed kind that is larger than this is handed out in pieces.
const WHOLE_FRAME_MAX: usize = 256 * 1024;

/// How large a frame may be.
#[derive(Clone, Copy, Debug)]
pub struct FrameLimit {
    /// Bytes, header included.
    pub bytes_max: usize,
}

/// Why a channel cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The peer closed the connection.
    #[error("connection closed")]
    Closed,
    /// The operating system says no.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A frame's length makes no sense.
    #[error("message of type {tag:?} announces {length} bytes, allowed are 4 to {max}", tag = char::from(*tag))]
    Length {
        /// Type byte.
        tag: u8,
        /// The announced length.
        length: u64,
        /// The limit.
        max: usize,
    },
}

/// What stands at the front of the read buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Type byte of the frame.
    pub tag: u8,
    /// Bytes that can be taken now: the whole frame, or a piece of it.
    pub available: usize,
    /// This piece is not the first of its frame.
    pub continued: bool,
    /// More pieces of this frame follow.
    pub more: bool,
}

/// One connection: read buffer, write buffer, stream.
///
/// # Cancel safety
/// All methods are polls that keep their progress in `self`; dropping a future built on them loses nothing.
#[derive(Debug)]
pub struct Channel {
    stream: Stream,
    read: BytesMut,
    write: BytesMut,
    limit: FrameLimit,
    /// Rest of a frame that is being handed out in pieces.
    rest: usize,
    rest_tag: u8,
    eof: bool,
    /// TLS holds bytes that have not left yet.
    flushing: bool,
}

impl Channel {
    /// Wraps a stream; `unread` are bytes that were read from it already.
    #[must_use]
    pub fn new(stream: Stream, unread: &[u8], limit: FrameLimit) -> Self {
        let mut read = BytesMut::with_capacity(READ_CHUNK);
        read.extend_from_slice(unread);
        Channel {
            stream,
            read,
            write: BytesMut::with_capacity(READ_CHUNK),
            limit,
            rest: 0,
            rest_tag: 0,
            eof: false,
            flushing: false,
        }
    }

    /// Bytes to be sent; append frames here, then flush.
    pub fn out(&mut self) -> &mut BytesMut {
        &mut self.write
    }

    /// Whether bytes wait to be sent.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.write.is_empty() || self.flushing
    }

    /// Whether bytes wait to be looked at.
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.read.is_empty()
    }

    /// Sends what is buffered.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        while !self.write.is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.write))?;
            if n == 0 {
                return Poll::Ready(Err(WireError::Closed));
            }
            self.write.advance(n);
        }
        // A plain socket has nothing behind its write; TLS has.
        match &mut self.stream {
            Stream::Tcp(_) | Stream::Unix(_) => Poll::Ready(Ok(())),
            tls @ (Stream::TlsServer(_) | Stream::TlsClient(_)) => {
                let flushed = Pin::new(tls).poll_flush(cx).map_err(WireError::Io);
                self.flushing = flushed.is_pending();
                flushed
            }
        }
    }

    /// Reads once into the buffer; `Ready(Ok(0))` is the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<io::Result<usize>> {
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        self.read.reserve(want.clamp(READ_CHUNK, READ_CHUNK_MAX));
        let got = ready!(tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.read))?;
        self.eof = got == 0;
        Poll::Ready(Ok(got))
    }

    /// Looks whether the peer is still there without taking anything: reads up to a bounded buffer.
    /// `Ready` means that the connection has ended.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>, buffer_max: usize) -> Poll<()> {
        while self.read.len() < buffer_max {
            match self.poll_fill(cx, READ_CHUNK) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
            }
        }
        Poll::Pending
    }

    /// The frame at the front, waiting for bytes if need be. It stays there until [`Channel::consume`].
    ///
    /// Frames of types in `piecewise` come in pieces when they are large; others are always whole.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>, piecewise: &[u8]) -> Poll<Result<FrameHead, WireError>> {
        loop {
            match self.front(piecewise)? {
                Some(head) => return Poll::Ready(Ok(head)),
                None => {
                    let want = self.missing();
                    if ready!(self.poll_fill(cx, want))? == 0 {
                        return Poll::Ready(Err(WireError::Closed));
                    }
                }
            }
        }
    }

    /// Bytes that the frame at the front still lacks.
    fn missing(&self) -> usize {
        match self.read.get(1..5) {
            Some(length) => {
                let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
                (length + 1).saturating_sub(self.read.len())
            }
            None => READ_CHUNK,
        }
    }

    fn front(&self, piecewise: &[u8]) -> Result<Option<FrameHead>, WireError> {
        if self.rest > 0 {
            if self.read.is_empty() {
                return Ok(None);
            }
            let available = self.rest.min(self.read.len());
            let more = available < self.rest;
            return Ok(Some(FrameHead { tag: self.rest_tag, available, continued: true, more }));
        }
        let Some(header) = self.read.get(..5) else { return Ok(None) };
        let tag = header[0];
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if length < 4 || length + 1 > self.limit.bytes_max {
            return Err(WireError::Length { tag, length: length as u64, max: self.limit.bytes_max });
        }
        let total = length + 1;
        if self.read.len() >= total {
            return Ok(Some(FrameHead { tag, available: total, continued: false, more: false }));
        }
        if total > WHOLE_FRAME_MAX && piecewise.contains(&tag) {
            return Ok(Some(FrameHead { tag, available: self.read.len(), continued: false, more: true }));
        }
        Ok(None)
    }

    /// Bytes of the frame (or piece) at the front, header included.
    #[must_use]
    pub fn peek(&self, head: FrameHead) -> &[u8] {
        &self.read[..head.available]
    }

    /// Drops the frame (or piece) at the front.
    pub fn consume(&mut self, head: FrameHead) {
        self.note_rest(head);
        self.read.advance(head.available);
    }

    /// Takes the frame (or piece) at the front as bytes of its own, without copying.
    pub fn take(&mut self, head: FrameHead) -> Bytes {
        self.note_rest(head);
        self.read.split_to(head.available).freeze()
    }

    fn note_rest(&mut self, head: FrameHead) {
        if head.continued {
            self.rest -= head.available;
        } else if head.more {
            let length = u32::from_be_bytes([self.read[1], self.read[2], self.read[3], self.read[4]]) as usize;
            self.rest = length + 1 - head.available;
            self.rest_tag = head.tag;
        }
    }

    /// Closes the sending side, politely and without waiting for long.
    pub async fn close(mut self) {
        let finish = async {
            let _best_effort = std::future::poll_fn(|cx| self.poll_flush(cx)).await;
            let _best_effort = std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await;
        };
        let _elapsed = tokio::time::timeout(std::time::Duration::from_secs(1), finish).await;
    }

    /// Cuts the connection, for a test.
    #[cfg(feature = "fault-points")]
    pub fn cut(&self) {
        if let Err(error) = self.stream.cut() {
            tracing::warn!("a connection that was to be cut is gone: {error}");
        }
    }

    /// Gives the stream back with the bytes that were read ahead (for TLS negotiation).
    #[must_use]
    pub fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.read)
    }

    /// Raw access for the start-up packet, which has no type byte: makes sure `n` bytes are buffered.
    pub fn poll_buffered(&mut self, cx: &mut Context<'_>, n: usize) -> Poll<Result<(), WireError>> {
        while self.read.len() < n {
            if ready!(self.poll_fill(cx, n))? == 0 {
                return Poll::Ready(Err(WireError::Closed));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes `n` raw bytes (see [`Channel::poll_buffered`]).
    pub fn take_raw(&mut self, n: usize) -> Bytes {
        self.read.split_to(n).freeze()
    }

    /// Looks at raw bytes.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.read
    }
}
