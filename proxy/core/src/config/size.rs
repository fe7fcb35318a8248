//! Sizes as text: `"64KiB"`, `"16MiB"`, `"1GiB"`, `"1TiB"`, or a plain number of bytes.

/// Units, largest first, in bytes.
const UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a whole number and a unit (`B`, `KiB`, `MiB`, `GiB`, `TiB`; none means bytes).
pub(super) fn parse(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = if unit.is_empty() { "B" } else { unit };
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*bytes)
}

/// Writes a size as [`parse`] reads it, in the largest unit that leaves a whole number.
pub(super) fn show(size: u64) -> String {
    let unit = UNITS.iter().find(|(_, bytes)| size >= *bytes && size.is_multiple_of(*bytes));
    unit.map_or_else(|| format!("{size}B"), |(name, bytes)| format!("{}{name}", size / bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for (text, bytes) in [("0B", 0), ("100B", 100), ("64KiB", 65_536), ("1GiB", 1 << 30), ("16TiB", 1 << 44)] {
            assert_eq!(parse(text), Some(bytes));
            assert_eq!(show(bytes), text);
        }
        assert_eq!(parse("123"), Some(123));
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "KiB", "1KB", "1 GiB", "-1", "1.5MiB", "99999999999999999999", "18446744073709551615GiB"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
