//! Times and sizes on the command line.

use std::time::Duration;

/// `500ms`, `10s`, `5min`, `2h`, `1d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("a number and its unit; allowed: ms, s, min, h, d, as in 10s".to_owned()),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(|| "too long".to_owned())
}

/// Bytes: `1024`, `64k`, `100m`.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text)?;
    let bytes = match unit {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        _ => return Err("bytes; allowed: a number, or one with k (1024) or m (1024 k), as in 64k".to_owned()),
    };
    let bytes = number.checked_mul(bytes).filter(|bytes| *bytes <= store_client::BODY_MAX);
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| format!("too large; allowed: up to {}m", store_client::BODY_MAX >> 20))
}

fn split(text: &str) -> Result<(u64, &str), String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number = number.parse().map_err(|_| "it begins with no number, or with one that is too large".to_owned())?;
    Ok((number, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!((bytes("10"), bytes("64k"), bytes("100m")), (Ok(10), Ok(65536), Ok(104_857_600)));
        for bad in ["10", "s", "-1s", "1.5s", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(bytes("2000m").expect_err("over 1 GiB").contains("up to 1024m"));
    }
}
