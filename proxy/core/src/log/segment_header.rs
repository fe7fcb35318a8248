//! The first 32 bytes of a segment.
//!
//! | bytes | field (little endian) |
//! |---|---|
//! | 0-7 | magic `RAIDBLOG` |
//! | 8-11 | format version |
//! | 12-19 | hash of the virtual database's name |
//! | 20-27 | position of the first record |
//! | 28-31 | CRC32C of bytes 0-27 |

use super::{CorruptKind, Position};

/// Version of the format of segments and records.
pub const FORMAT_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"RAIDBLOG";

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Hash of the virtual database's name, see [`database_hash`].
    pub database: u64,
    /// Position of the first record.
    pub first: Position,
}

/// FNV-1a over the name: tells logs of different virtual databases apart. Part of the format.
pub fn database_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl SegmentHeader {
    /// Length in bytes.
    pub const BYTES: usize = 32;

    /// The header as bytes.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.database.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.first.0.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of a segment.
    ///
    /// # Errors
    /// It is damaged, or of another version.
    pub fn decode(segment: &[u8]) -> Result<Self, CorruptKind> {
        let bytes: &[u8; Self::BYTES] = segment.first_chunk().ok_or(CorruptKind::Header)?;
        let intact = bytes[..8] == MAGIC && crc32c::crc32c(&bytes[..28]) == u32_at(bytes, 28);
        if !intact {
            return Err(CorruptKind::Header);
        }
        let found = u32_at(bytes, 8);
        if found != FORMAT_VERSION {
            return Err(CorruptKind::Version { found, expected: FORMAT_VERSION });
        }
        Ok(Self { database: u64_at(bytes, 12), first: Position(u64_at(bytes, 20)) })
    }
}

/// The number at `offset`; 0 if the bytes end before it.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// The number at `offset`; 0 if the bytes end before it.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let header = SegmentHeader { database: database_hash("bench"), first: Position(7) };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), Err(CorruptKind::Header), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(SegmentHeader::decode(&bytes[..length]), Err(CorruptKind::Header));
        }
    }

    #[test]
    fn names_another_version() {
        let mut bytes = SegmentHeader { database: 1, first: Position(1) }.encode();
        bytes[8] = 9;
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(CorruptKind::Version { found: 9, expected: 1 }));
    }

    #[test]
    fn the_hash_is_part_of_the_format() {
        assert_eq!(database_hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(database_hash("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
