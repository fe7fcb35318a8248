//! The text of a row (`record_out`) as the texts of its columns.

/// The columns of a row's text; `None` for NULL. `None` as a whole: it is no such text.
///
/// The bytes are those of the client's encoding, of which the session takes only those that hide no ASCII.
#[must_use]
pub fn columns(row: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let mut rest = row.strip_prefix(b"(")?.strip_suffix(b")")?.iter().copied().peekable();
    let mut columns = Vec::new();
    loop {
        let mut value = Vec::new();
        let mut quoted = false;
        let mut written = false;
        let ended = loop {
            match rest.next() {
                None if quoted => return None,
                None => break true,
                Some(b',') if !quoted => break false,
                // Doubled inside quotes: itself.
                Some(b'"') if quoted && rest.peek() == Some(&b'"') => {
                    rest.next();
                    value.push(b'"');
                }
                Some(b'"') => {
                    quoted = !quoted;
                    written = true;
                }
                Some(b'\\') => value.push(rest.next()?),
                Some(byte) => value.push(byte),
            }
        };
        columns.push((written || !value.is_empty()).then_some(value));
        if ended {
            return Some(columns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::columns;

    fn read(row: &str) -> Option<Vec<Option<String>>> {
        let text = |value: Vec<u8>| String::from_utf8(value).unwrap();
        Some(columns(row.as_bytes())?.into_iter().map(|value| value.map(text)).collect())
    }

    #[test]
    fn rows_as_record_out_writes_them() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("(1,,\"\",a b)"), Some(vec![some("1"), None, some(""), some("a b")]));
        assert_eq!(
            read("(\"a,b\",\"say \"\"x\"\"\",\"back\\\\slash\",\"(1,\"\"2 3\"\")\")"),
            Some(vec![some("a,b"), some("say \"x\""), some("back\\slash"), some("(1,\"2 3\")")])
        );
        assert_eq!(read("()"), Some(vec![None]));
        assert_eq!(read("(1"), None);
        assert_eq!(read("(\"1)"), None);
    }
}
