//! The text of a URI: percent-decoding, and hiding what may be a password.

/// Percent-decodes one part of the URL.
pub(super) fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        bytes.push(byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or("has a \"%\" without two hex digits")?);
        rest = &tail[2..];
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 after percent-decoding")?;
    if text.contains('\0') { Err("contains a NUL".into()) } else { Ok(text) }
}

/// A URL for a message: everything that may be a password is replaced by `***`, also in a broken URL.
pub(super) fn hide_password(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let authority_end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
    let mut shown = url.to_owned();
    let colon = url[start..].find(':').map(|at| start + at + 1);
    match (colon, url.rfind('@')) {
        (Some(from), Some(to)) if from <= to => shown.replace_range(from..to, "***"),
        (Some(from), None)
            if from <= authority_end && !url[from..authority_end].bytes().all(|b| b.is_ascii_digit()) =>
        {
            shown.replace_range(from..authority_end, "***");
        }
        (_, _) => {}
    }
    if let Some(from) = shown.find("password=").map(|at| at + "password=".len()) {
        shown.replace_range(from.., "***");
    }
    shown
}
