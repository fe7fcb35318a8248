//! Advisory locks: calls whose keys can be told, alone in their SELECT. Whatever else calls these functions is refused
//! (`functions::denied`).

use super::super::analysis::{Advisory, AdvisoryCall, Command, IntegerArgument};
use super::super::text::Text;
use super::Judged;
use super::call::{self, Argument};

/// Types that do not change a key; the lead checks that it fits.
const CASTS: &[&str] = &["bigint", "int8", "int", "integer", "int4", "smallint", "int2"];

/// Judges a call; `None` if it is none, or one that is not understood.
pub(crate) fn judge(text: &Text<'_>) -> Option<Judged> {
    let call = call::read(text, CASTS)?;
    let function = function(&call.name)?;
    let expected = match function {
        AdvisoryCall::UnlockAll => 0..=0,
        AdvisoryCall::Lock { .. } | AdvisoryCall::Unlock { .. } => 1..=2,
    };
    if !expected.contains(&call.arguments.len()) {
        return None;
    }
    let arguments = call.arguments.iter().map(integer).collect::<Option<Vec<_>>>()?;
    Some(Judged::plain(Command::Advisory(Advisory { call: function, arguments })))
}

fn function(name: &str) -> Option<AdvisoryCall> {
    let (name, shared) = match name.strip_suffix("_shared") {
        Some(name) => (name, true),
        None => (name, false),
    };
    match name {
        "pg_advisory_lock" | "pg_try_advisory_lock" => Some(AdvisoryCall::Lock { transaction: false, shared }),
        "pg_advisory_xact_lock" | "pg_try_advisory_xact_lock" => Some(AdvisoryCall::Lock { transaction: true, shared }),
        "pg_advisory_unlock" => Some(AdvisoryCall::Unlock { shared }),
        "pg_advisory_unlock_all" if !shared => Some(AdvisoryCall::UnlockAll),
        _ => None,
    }
}

fn integer(argument: &Argument) -> Option<IntegerArgument> {
    Some(match argument {
        Argument::Number(text) | Argument::Text(text) => IntegerArgument::Literal(text.trim().parse().ok()?),
        Argument::Parameter(n) => IntegerArgument::Parameter(*n),
        Argument::Null => IntegerArgument::Null,
    })
}
