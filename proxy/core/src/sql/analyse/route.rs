//! EXPLAIN ROUTE statement: the inner statement is analysed as if it stood alone, and nothing of it is run.

use std::sync::Arc;

use super::super::analysis::Command;
use super::super::text::Text;
use super::{Judged, Scope, Stop, analyse, refuse};

/// EXPLAIN ROUTE statement.
pub(crate) fn judge(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let Some(token) = text.tokens.get(2) else {
        return Err(refuse("EXPLAIN ROUTE of nothing", "write the statement behind it"));
    };
    // One level: deeper ones would be as deep on the stack as the text is long.
    if text.are(2, &["explain", "route"]) {
        return Err(refuse("EXPLAIN ROUTE of itself", "it is answered by the proxy and reaches no member"));
    }
    let inner = token.start;
    let analysis = Arc::new(analyse(&text.bytes[inner..], scope.catalog, scope.settings));
    Ok(Judged::plain(Command::Route { inner, analysis }))
}
