//! Damage of every kind at every place: a torn tail is cut, everything else is found.

use super::{CorruptKind, Place, Position, RecordKind, Segment, SegmentHeader, encode_record, read_part, read_segment};

const DATABASE: u64 = 77;

/// A segment with one record for each entry (batch it belongs to, payload), positions from 5,
/// and the offset of each record's end.
fn segment(records: &[(u64, &[u8])]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = SegmentHeader { database: DATABASE, first: Position(5) }.encode().to_vec();
    let mut ends = Vec::new();
    for (position, (batch, payload)) in (5..).zip(records) {
        encode_record(&mut bytes, Position(position), Position(*batch), RecordKind::Intent, payload).unwrap();
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn place(is_last: bool) -> Place<'static> {
    Place { name: "s", database: DATABASE, follows: Some(Position(5)), is_last }
}

fn read(bytes: &[u8]) -> Result<Segment, CorruptKind> {
    read_segment(bytes, place(true)).map_err(|corrupt| corrupt.kind)
}

/// Three records, each flushed before the next was written.
const FLUSHED: [(u64, &[u8]); 3] = [(5, b"one"), (6, b""), (7, b"three")];

#[test]
fn reads_records_in_order() {
    let (bytes, _) = segment(&FLUSHED);
    let segment = read(&bytes).unwrap();
    let payloads: Vec<_> = segment.records.iter().map(|record| record.payload.as_slice()).collect();
    assert_eq!(payloads, [b"one".as_slice(), b"", b"three"]);
    assert_eq!((segment.next(), segment.good_bytes, segment.torn_bytes), (Position(8), bytes.len(), 0));
    let (empty, _) = self::segment(&[]);
    assert_eq!(read(&empty).unwrap().next(), Position(5));
}

#[test]
fn a_cut_at_any_byte_is_a_torn_tail() {
    let (bytes, ends) = segment(&FLUSHED);
    for length in SegmentHeader::BYTES..bytes.len() {
        let whole = ends.iter().filter(|end| **end <= length).count();
        let good = ends[..whole].last().copied().unwrap_or(SegmentHeader::BYTES);
        let segment = read(&bytes[..length]).unwrap();
        assert_eq!((segment.records.len(), segment.good_bytes), (whole, good), "cut at {length}");
        // Zeros behind it, as a preallocated file has them, change nothing, unless zeros are what was cut off.
        let mut padded = bytes[..length].to_vec();
        padded.resize(length + 100, 0);
        let lost_zeros = bytes[length..ends[whole]].iter().all(|byte| *byte == 0);
        assert_eq!(read(&padded).unwrap().records.len(), whole + usize::from(lost_zeros), "padded at {length}");
        // In a segment that is not the last, only an end after a whole record is one.
        let torn = bytes[good..length].iter().any(|byte| *byte != 0);
        assert_eq!(read_segment(&bytes[..length], place(false)).is_err(), torn, "cut at {length}");
    }
    for length in 0..SegmentHeader::BYTES {
        assert_eq!(read(&bytes[..length]), Err(CorruptKind::Header));
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let (bytes, ends) = segment(&FLUSHED);
    for bit in SegmentHeader::BYTES * 8..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let result = read_segment(&flipped, place(true));
        let damaged = ends.iter().position(|end| bit / 8 < *end).unwrap();
        if damaged + 1 < ends.len() {
            let corrupt = result.unwrap_err();
            let start = if damaged == 0 { SegmentHeader::BYTES } else { ends[damaged - 1] };
            assert_eq!((corrupt.kind, corrupt.offset), (CorruptKind::DamagedRecord, start), "bit {bit}");
            assert_eq!(corrupt.segment, "s");
        } else {
            assert_eq!(result.unwrap().records.len(), damaged, "bit {bit}");
        }
        assert!(read_segment(&flipped, place(false)).is_err());
    }
}

#[test]
fn damage_within_the_last_batch_is_a_torn_tail() {
    let (mut bytes, ends) = segment(&[(5, b"one"), (6, b"two"), (6, b"three")]);
    bytes[ends[0]] ^= 1;
    let segment = read(&bytes).unwrap();
    assert_eq!((segment.records.len(), segment.good_bytes), (1, ends[0]));
    assert_eq!(segment.torn_bytes, bytes.len() - ends[0]);
}

#[test]
fn positions_must_go_on() {
    let (mut bytes, _) = segment(&FLUSHED);
    encode_record(&mut bytes, Position(9), Position(9), RecordKind::Intent, b"").unwrap();
    assert_eq!(read(&bytes), Err(CorruptKind::Gap { found: Position(9), expected: Position(8) }));
    let late = Place { follows: Some(Position(6)), ..place(true) };
    let error = read_segment(&bytes, late).unwrap_err();
    assert_eq!(error.kind, CorruptKind::Gap { found: Position(5), expected: Position(6) });
    let other = Place { database: 78, ..place(true) };
    assert_eq!(read_segment(&bytes, other).unwrap_err().kind, CorruptKind::OtherDatabase);
}

#[test]
fn a_newer_kind_is_named() {
    let (mut bytes, ends) = segment(&FLUSHED);
    // Kind 9 with a checksum that fits.
    let record = &mut bytes[ends[1]..];
    record[24] = 9;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..]);
    record[4..8].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(read(&bytes), Err(CorruptKind::UnknownKind(9)));
}

#[test]
fn a_part_gives_what_is_whole_in_it() {
    let (bytes, ends) = segment(&FLUSHED);
    let records = read(&bytes).unwrap().records;
    for (index, start) in [SegmentHeader::BYTES].iter().chain(&ends).enumerate().take(3) {
        let expected = records[index].position;
        for length in 0..=bytes.len() - start {
            let part = read_part(&bytes[*start..start + length], "s", *start, expected).unwrap();
            let whole = ends.iter().filter(|end| **end > *start && **end <= start + length).count();
            assert_eq!(part.records, records[index..index + whole], "from {start}, {length} bytes");
            assert!(part.wants > length, "{} is not more than {length}", part.wants);
        }
    }
}

#[test]
fn damage_in_a_part_is_found() {
    let (bytes, ends) = segment(&FLUSHED);
    let head = SegmentHeader::BYTES;
    for bit in head * 8..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match read_part(&flipped[head..], "s", head, Position(5)) {
            // A length that is too long: there is not as much as it wants.
            Ok(part) => assert!(part.wants > bytes.len() - head && part.records.len() < 3, "bit {bit}"),
            Err(corrupt) => {
                let place = ends.iter().filter(|end| **end * 8 <= bit).max().copied().unwrap_or(head);
                assert_eq!((corrupt.offset, corrupt.kind), (place, CorruptKind::DamagedRecord), "bit {bit}");
            }
        }
    }
    let other = read_part(&bytes[head..], "s", head, Position(6)).unwrap_err();
    assert_eq!(other.kind, CorruptKind::Gap { found: Position(5), expected: Position(6) });
}
