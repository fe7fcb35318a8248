//! How a transaction ended, by what its client was told; and what an error at each point says about whether it was done.

use tokio_postgres::Error;

use crate::Failure;

/// How a transaction ended, as its client was told.
#[derive(Debug)]
pub enum Ended {
    /// Committed.
    Done,
    /// Rolled back by the client's own wish.
    RolledBack,
    /// Not committed, for certain: the SQLSTATE, or `lost` (before COMMIT was sent).
    NotDone(String),
    /// Committed or not.
    Unknown(String),
    /// An answer that no single database would give.
    Unexpected(String),
}

impl Ended {
    /// An error before COMMIT was sent: the transaction cannot have been committed.
    #[must_use]
    pub fn before_commit(error: Error) -> Self {
        let code = error.code().map(|code| code.code().to_owned());
        match code {
            None => Self::NotDone("lost".to_owned()),
            Some(code) if is_expected(&code) => Self::NotDone(code),
            Some(code) => Self::Unexpected(format!("{code} {}", Failure::from(error))),
        }
    }

    /// An error in the statement that commits.
    #[must_use]
    pub fn at_commit(error: Error) -> Self {
        let code = error.code().map(|code| code.code().to_owned());
        let text = Failure::from(error).to_string();
        match code.as_deref() {
            None => Self::Unknown(text),
            // 40003 is statement_completion_unknown.
            Some("40003") => Self::Unknown(format!("40003 {text}")),
            Some(code) if code == "57P03" || code.starts_with("40") => Self::NotDone(code.to_owned()),
            Some(code) if is_expected(code) => Self::Unknown(format!("{code} {text}")),
            Some(code) => Self::Unexpected(format!("{code} {text}")),
        }
    }
}

/// SQLSTATEs by which a database says that it is not there, or that the transaction is to be tried again.
fn is_expected(code: &str) -> bool {
    ["40", "08"].contains(&&code[..2.min(code.len())]) || code.starts_with("57P")
}
