//! What a client sends: start-up packet, then frames, each decoded by its type; and the frames of a member.

use std::future::poll_fn;
use std::io::Write as _;
use std::os::unix::net::UnixStream;

use bytes::Bytes;
use raidb::frontend::pg::startup::{self, Start, StartFailed};
use raidb::wire::{Channel, FrameLimit, Stream, decode};
use tokio::runtime::{Builder, Runtime};

/// What a socket takes without a reader.
const BYTES_MAX: usize = 32 * 1024;
/// Frames of these types come in pieces.
const PIECEWISE: &[u8] = b"dD";

thread_local! {
    static RUNTIME: Option<Runtime> = Builder::new_current_thread().enable_all().build().ok();
}

/// The first byte says whether a start-up packet comes first.
pub fn run(data: &[u8]) {
    let Some((form, bytes)) = data.split_first() else { return };
    let bytes = &bytes[..bytes.len().min(BYTES_MAX)];
    RUNTIME.with(|runtime| {
        let runtime = runtime.as_ref().expect("a runtime");
        runtime.block_on(connection(form % 2 == 1, bytes));
    });
}

/// A connection on which these bytes come, and then its end.
async fn connection(starts: bool, bytes: &[u8]) {
    let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
    client.write_all(bytes).expect("a socket that takes a few bytes");
    client.shutdown(std::net::Shutdown::Write).expect("an end");
    server.set_nonblocking(true).expect("a socket");
    let stream = Stream::Unix(tokio::net::UnixStream::from_std(server).expect("a runtime"));
    let limit = FrameLimit { bytes_max: 64 * 1024 };
    let channel = if starts {
        match startup::start(stream, None, limit).await {
            Ok(Start::Client { channel, .. }) => channel,
            Ok(Start::Cancel { .. }) | Err(StartFailed::Wire(_) | StartFailed::Refused(..)) => return,
        }
    } else {
        Channel::new(stream, &[], limit)
    };
    frames(channel).await;
}

async fn frames(mut channel: Channel) {
    while let Ok(head) = poll_fn(|cx| channel.poll_frame(cx, PIECEWISE)).await {
        assert_eq!(channel.peek(head).len(), head.available);
        let frame = channel.take(head);
        if !head.continued && !head.more {
            of_client(&frame);
            of_member(&frame);
        }
    }
}

fn of_client(frame: &Bytes) {
    let _ = decode::query(frame);
    let _ = decode::parse(frame);
    if let Ok(bind) = decode::bind(frame) {
        assert!(decode::bind_parameters(&bind.tail).len() <= bind.tail.len());
    }
    let _ = decode::bind_parameters(frame);
    let _ = decode::named(frame, "Describe");
    let _ = decode::execute(frame);
}

fn of_member(frame: &Bytes) {
    let _ = decode::tag_rows(decode::command_tag(frame));
    let _ = decode::sqlstate(frame);
    let columns = decode::column_count(frame);
    for extra in [0, 1, columns / 2, columns, columns + 1] {
        if let Some((kept, values)) = decode::split_row(frame, extra) {
            assert!(kept.len() <= frame.len() && values.len() == extra);
        }
        let _ = decode::keep_descriptions(frame, extra);
    }
    let _ = decode::text_row(frame);
    let _ = decode::reports(frame);
}
