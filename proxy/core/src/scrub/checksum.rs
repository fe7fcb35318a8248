//! The contents of a range of rows in a few bytes.

/// Number of rows and two sums of 64-bit hashes, which do not depend on the order of rows. Sums, not exclusive ors: a row
/// that is there twice must not look like one that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// Rows.
    pub rows: u64,
    /// The sums, as the member writes them: they are wider than 64 bits.
    pub sums: [String; 2],
}

impl Default for Checksum {
    /// No rows.
    fn default() -> Self {
        Checksum { rows: 0, sums: [String::from("0"), String::from("0")] }
    }
}
