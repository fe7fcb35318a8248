//! The analysis, as data: a statement and what it must be said to be.

#![expect(clippy::too_many_lines, reason = "a table of statements is as long as it is")]

mod describe;
mod fill;
mod imaged;
mod reads;
mod refusals;
mod robustness;
mod session;
mod shapes;
mod temporary;
mod writes;

use super::super::testing::{sample, settings};
use super::analyse;

/// Checks (statement, description) pairs; all failures are shown together. See [`describe::describe`].
fn check(cases: &[(&str, &str)]) {
    let (catalog, settings) = (sample(), settings());
    let mut failures = String::new();
    for (sql, expected) in cases {
        shapes::check_exchanged(sql);
        let got = describe::describe(sql, &analyse(sql.as_bytes(), &catalog, &settings));
        let matches = match expected.strip_suffix('…') {
            Some(start) => got.starts_with(start),
            None => got == *expected,
        };
        if !matches {
            failures.push_str(&format!("\n  {sql}\n    expected {expected}\n    got      {got}"));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}
