//! `raidb.toml` and the URLs of members.

use std::path::Path;

use raidb_core::config::{Config, MemberUrl};

/// Text as a configuration file, and as a member's URL.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse(text, Path::new("/etc/raidb")) {
        // Every error can be told.
        Err(errors) => assert!(!errors.to_string().is_empty()),
        Ok(config) => {
            let _ = format!("{config:?}");
        }
    }
    if let Ok(url) = MemberUrl::parse(text) {
        let _ = (url.target(), format!("{url:?}"));
    }
}
