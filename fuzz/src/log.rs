//! Segments of the recovery log and the payloads of their records.
//!
//! The first byte says what the rest is: a segment as it is; the payload of one record; or pieces, of which intact records are made,
//! so that a fuzzer need not find checksums.

use raidb_core::log::{
    Checkpoint, Intent, MemberChange, Membership, NamedCheckpoint, Outcome, Place, Position, RecordKind, SegmentHeader,
    TokenRecord, encode_record, read_part, read_segment,
};

const DATABASE: u64 = 7;

/// See the module.
pub fn run(data: &[u8]) {
    let Some((form, rest)) = data.split_first() else { return };
    match form % 3 {
        0 => segment(rest),
        1 => payload(rest),
        _ => segment(&made(rest)),
    }
}

/// Reads a segment in all places that it may have.
fn segment(bytes: &[u8]) {
    let database = SegmentHeader::decode(bytes).map_or(DATABASE, |header| header.database);
    for is_last in [true, false] {
        let read = read_segment(bytes, Place { name: "segment", database, follows: None, is_last });
        let Ok(segment) = read else { continue };
        assert!(segment.good_bytes + segment.torn_bytes <= bytes.len());
        assert!(is_last || segment.torn_bytes == 0);
        let part = &bytes[SegmentHeader::BYTES..segment.good_bytes];
        let same = read_part(part, "segment", SegmentHeader::BYTES, segment.header.first);
        assert_eq!(same.map(|part| part.records).as_ref(), Ok(&segment.records));
        let _ = segment.next();
        let mut membership = Membership::default();
        for record in &segment.records {
            let _ = membership.apply(record);
            let _ = Membership::epoch_in(record.kind, &record.payload);
            decode(record.kind, &record.payload);
        }
    }
}

fn payload(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    if let Some(kind) = RecordKind::from_code(*kind) {
        decode(kind, bytes);
    }
}

/// What can be read is read the same again behind being written.
fn decode(kind: RecordKind, bytes: &[u8]) {
    macro_rules! again {
        ($kind:ty) => {
            if let Ok(read) = <$kind>::decode(bytes) {
                assert_eq!(<$kind>::decode(&read.encode()), Ok(read));
            }
        };
    }
    match kind {
        RecordKind::Intent => {
            if let Ok(intent) = Intent::decode(bytes) {
                assert_eq!(Intent::decode_token(bytes), Ok(intent.token.clone()));
                assert_eq!(Intent::decode(&intent.encode()), Ok(intent));
            }
        }
        RecordKind::Outcome => again!(Outcome),
        RecordKind::MemberChange => again!(MemberChange),
        RecordKind::Checkpoint => again!(Checkpoint),
        RecordKind::Token => again!(TokenRecord),
        RecordKind::NamedCheckpoint => again!(NamedCheckpoint),
        RecordKind::SequenceHighWater | RecordKind::CopyRows => {}
    }
}

/// A segment of intact records: first position (8 bytes), then for each record its kind, whether it begins a batch, length of its
/// payload, payload. What is left over stands behind them as it is.
fn made(mut rest: &[u8]) -> Vec<u8> {
    let Some((first, behind)) = rest.split_first_chunk::<8>() else { return Vec::new() };
    rest = behind;
    let mut position = Position(u64::from_le_bytes(*first).max(1));
    let mut bytes = SegmentHeader { database: DATABASE, first: position }.encode().to_vec();
    let mut batch = position;
    while let Some(([kind, begins, length], behind)) = rest.split_first_chunk::<3>() {
        let Some(kind) = RecordKind::from_code(*kind) else { break };
        let (payload, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        if begins % 2 == 0 {
            batch = position;
        }
        if encode_record(&mut bytes, position, batch, kind, payload).is_err() {
            break;
        }
        position = Position(position.0.wrapping_add(1).max(1));
        batch = batch.min(position);
        rest = behind;
    }
    bytes.extend_from_slice(rest);
    bytes
}
