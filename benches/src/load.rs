//! The loads: what pgbench is told to do.

use scenarios::Result;
use std::path::Path;

const INSERT_SCRIPT: &str = "\
\\set id random(1, 9000000000000000)
\\set v random(1, 1000000)
INSERT INTO bench_insert (id, v, t) VALUES (:id, :v, 'forty characters of payload, give or take');
";

/// A load; the order is the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    /// Five statements in a transaction, three updates among them, simple protocol.
    TpcbSimple,
    /// The same with prepared statements.
    TpcbPrepared,
    /// One read by primary key, prepared.
    SelectPrepared,
    /// One insert by primary key in autocommit, simple protocol.
    Insert,
}

impl Load {
    /// Every load.
    pub(crate) const ALL: [Self; 4] = [Self::TpcbSimple, Self::TpcbPrepared, Self::SelectPrepared, Self::Insert];

    /// The name in tables and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TpcbSimple => "tpcb-simple",
            Self::TpcbPrepared => "tpcb-prepared",
            Self::SelectPrepared => "select-prepared",
            Self::Insert => "insert",
        }
    }

    /// What pgbench is told. A script, where one is needed, is written into the folder.
    pub(crate) fn arguments(self, dir: &Path) -> Result<Vec<String>> {
        let fixed: &[&str] = match self {
            Self::TpcbSimple => &["-b", "tpcb-like", "-M", "simple"],
            Self::TpcbPrepared => &["-b", "tpcb-like", "-M", "prepared"],
            Self::SelectPrepared => &["-b", "select-only", "-M", "prepared"],
            Self::Insert => {
                let script = dir.join("insert.sql");
                // Several servers are loaded at once, each by a pgbench that reads this file: it is written only once.
                if !script.exists() {
                    std::fs::write(&script, INSERT_SCRIPT)?;
                }
                return Ok(["-M", "simple", "-f", &script.to_string_lossy()].map(str::to_owned).to_vec());
            }
        };
        Ok(fixed.iter().map(|&argument| argument.to_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Load::ALL.map(Load::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Load::ALL.len());
    }
}
