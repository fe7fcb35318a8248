//! Why the command ends with an error: one line for people.

use std::fmt;

/// What went wrong, where, and what is allowed.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl From<store_client::Error> for Failure {
    fn from(error: store_client::Error) -> Self {
        Self(error.to_string())
    }
}
