//! What the analysis is given: the bare server's catalog, and what of a session changes the meaning of a text.

use std::sync::Arc;

use raidb_core::sql::Settings;
use raidb_core::sql::catalog::{Builtins, Catalog};
use raidb_core::sql::catalog_query::{BUILTIN_SQL, CATALOG_SQL, parse, parse_builtins};

use crate::scenario::differential::client::Client;
use crate::{Failure, Result};

/// A savepoint around what the harness asks within a client's transaction.
pub(super) const SAVE: &str = "SAVEPOINT raidb_oracle; ";
/// Its end.
pub(super) const RESTORE: &str = "ROLLBACK TO SAVEPOINT raidb_oracle; RELEASE SAVEPOINT raidb_oracle; ";

const SETTINGS: &str = "SELECT s FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS u(s, n) ORDER BY n; \
    SELECT pg_catalog.current_setting('standard_conforming_strings')";

/// Functions that the server was made with.
///
/// # Errors
/// The server's.
pub(super) async fn builtins(client: &mut Client) -> Result<Arc<Builtins>> {
    let results = client.rows(BUILTIN_SQL).await?;
    parse_builtins(&results).map_err(|error| Failure::new(error.to_string()))
}

/// The catalog as this session sees it, with what its transaction has changed.
///
/// # Errors
/// The server's.
pub(super) async fn catalog(client: &mut Client, open: bool, builtins: &Arc<Builtins>) -> Result<Arc<Catalog>> {
    // Inside a transaction the search path that the query sets would stay.
    let text = if open { format!("{SAVE}{CATALOG_SQL}; {RESTORE}") } else { CATALOG_SQL.to_owned() };
    let results = client.rows(&text).await?;
    parse(&results, builtins).map(Arc::new).map_err(|error| Failure::new(error.to_string()))
}

/// What names and quotes mean to this session.
///
/// # Errors
/// The server's.
pub(super) async fn settings(client: &mut Client) -> Result<Settings> {
    let results = client.rows(SETTINGS).await?;
    let column =
        |result: usize| results.get(result).into_iter().flatten().filter_map(|row| row.first().cloned().flatten());
    Ok(Settings { search_path: column(0).collect(), standard_conforming_strings: column(1).any(|value| value == "on") })
}
