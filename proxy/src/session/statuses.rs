//! ParameterStatus as PostgreSQL sends it: behind all answers of a message, before ReadyForQuery, what has changed since the last.
//!
//! A member reports behind each of its units, of which one message of the client may be several.

use bytes::{Bytes, BytesMut};

use crate::members::pg::connect::Reported;

const HEAD: usize = 5;

/// Moves the reports among whole frames to their end: the last of each name, unless the client was told just that.
pub(super) fn settle(frames: &mut BytesMut, told: &mut Reported) {
    if !split(frames).any(|frame| frame[0] == b'S') {
        return;
    }
    let whole = frames.split().freeze();
    let mut last: Reported = Vec::new();
    for frame in split(&whole) {
        match report(frame) {
            Some((name, value)) => {
                last.retain(|(known, _)| *known != name);
                last.push((name, value));
            }
            None => frames.extend_from_slice(frame),
        }
    }
    for (name, value) in last {
        if told.contains(&(name.clone(), value.clone())) {
            continue;
        }
        crate::wire::encode::parameter_status(frames, &name, &value);
        told.retain(|(known, _)| *known != name);
        told.push((name, value));
    }
}

/// The frames, one by one; a torn one at the end is given as it is.
fn split(frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = frames;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length =
            rest.get(1..HEAD).map_or(rest.len(), |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize + 1);
        let (frame, behind) = rest.split_at(length.clamp(1, rest.len()));
        rest = behind;
        Some(frame)
    })
}

fn report(frame: &[u8]) -> Option<(Bytes, Bytes)> {
    if frame[0] != b'S' {
        return None;
    }
    let mut texts = frame.get(HEAD..)?.split(|byte| *byte == 0);
    Some((Bytes::copy_from_slice(texts.next()?), Bytes::copy_from_slice(texts.next()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encode;

    fn told(name: &'static str, value: &'static str) -> Reported {
        vec![(Bytes::from(name), Bytes::from(value))]
    }

    #[test]
    fn the_last_of_each_name_comes_behind_the_answers() {
        let mut frames = BytesMut::new();
        encode::parameter_status(&mut frames, b"TimeZone", b"Asia/Tokyo");
        encode::command_complete(&mut frames, "SET");
        encode::parameter_status(&mut frames, b"TimeZone", b"GMT");
        let mut wanted = BytesMut::new();
        encode::command_complete(&mut wanted, "SET");
        let mut unchanged = frames.clone();
        settle(&mut unchanged, &mut told("TimeZone", "GMT"));
        assert_eq!(unchanged, wanted);
        let mut known = told("TimeZone", "UTC");
        settle(&mut frames, &mut known);
        encode::parameter_status(&mut wanted, b"TimeZone", b"GMT");
        assert_eq!(frames, wanted);
        assert_eq!(known, told("TimeZone", "GMT"));
    }

    #[test]
    fn frames_without_reports_stay() {
        let mut frames = BytesMut::new();
        encode::command_complete(&mut frames, "SET");
        let before = frames.clone();
        settle(&mut frames, &mut Vec::new());
        assert_eq!(frames, before);
    }
}
