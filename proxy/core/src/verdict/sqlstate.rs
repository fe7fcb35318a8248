//! SQLSTATE codes and what their class says about the member that sent them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Five characters, digits or upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SqlState([u8; 5]);

/// What a SQLSTATE says about the member that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateClass {
    /// 40xxx: the transaction is rolled back everywhere, nobody is to blame.
    Abort,
    /// 08xxx, 53xxx, 57Pxx, 58xxx, XX00x: the member is at fault, not the statement.
    MemberFault,
    /// Everything else: the statement's own answer.
    SqlError,
}

impl SqlState {
    /// 40P01, deadlock detected.
    pub const DEADLOCK: Self = Self(*b"40P01");
    /// 40001, could not serialize access.
    pub const SERIALIZATION_FAILURE: Self = Self(*b"40001");
    /// 57014, cancelled on request.
    pub const QUERY_CANCELED: Self = Self(*b"57014");
    /// XX000, internal error; stands for a code that cannot be read.
    pub const INTERNAL_ERROR: Self = Self(*b"XX000");

    /// Reads a code; `None` if it is not five digits or upper-case letters.
    pub fn parse(code: &[u8]) -> Option<Self> {
        let code: [u8; 5] = code.try_into().ok()?;
        code.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()).then_some(Self(code))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }

    /// What the code says about the member that sent it.
    pub fn class(self) -> StateClass {
        match &self.0 {
            [b'4', b'0', ..] => StateClass::Abort,
            [b'0', b'8', ..] | [b'5', b'3', ..] | [b'5', b'7', b'P', ..] | [b'5', b'8', ..] => StateClass::MemberFault,
            [b'X', b'X', b'0', b'0', _] => StateClass::MemberFault,
            _ => StateClass::SqlError,
        }
    }

    /// 53xxx: memory, disk or connections ran out on the member.
    pub fn is_resource(self) -> bool {
        self.0.starts_with(b"53")
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<SqlState> for String {
    fn from(state: SqlState) -> Self {
        state.as_str().to_owned()
    }
}

impl TryFrom<String> for SqlState {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(text.as_bytes()).ok_or_else(|| format!("\"{text}\" is not a SQLSTATE"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        let expect = [
            ("40001", StateClass::Abort),
            ("40P01", StateClass::Abort),
            ("08006", StateClass::MemberFault),
            ("53100", StateClass::MemberFault),
            ("57P01", StateClass::MemberFault),
            ("58030", StateClass::MemberFault),
            ("XX000", StateClass::MemberFault),
            ("XX001", StateClass::MemberFault),
            ("XX100", StateClass::SqlError),
            ("57014", StateClass::SqlError),
            ("23505", StateClass::SqlError),
            ("55P03", StateClass::SqlError),
            ("25P02", StateClass::SqlError),
            ("00000", StateClass::SqlError),
        ];
        for (code, class) in expect {
            assert_eq!(SqlState::parse(code.as_bytes()).unwrap().class(), class, "{code}");
        }
    }

    #[test]
    fn refuses_what_is_no_code() {
        for code in ["", "4000", "400011", "40p01", "40 01", "é001"] {
            assert_eq!(SqlState::parse(code.as_bytes()), None, "{code}");
        }
    }
}
